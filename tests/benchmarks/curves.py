"""Curves as an SVG that a browser and GitHub show on light and dark pages."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

_WIDE, _HIGH, _LEFT, _TOP, _GAP = 300, 220, 50, 40, 60
_COLOURS = ("#888888", "#3b7dd8", "#d8663b", "#3ba55c")


def write_curves(
    out: Path, panels: Mapping[str, Mapping[str, Sequence[float]]], xs: Sequence[int], below: str
) -> None:
    """Draw panels side by side: shares from 0 to 1 over numbers on a logarithmic axis.

    Args:
        out: the file.
        panels: title -> name of a curve -> its value at each of xs.
        xs: the same for all.
        below: what the numbers are.
    """
    width = _LEFT + len(panels) * (_WIDE + _GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HIGH + _TOP + 60}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{_HIGH + _TOP + 60}" fill="white"/>',
    ]
    for number, (title, curves) in enumerate(panels.items()):
        left = _LEFT + number * (_WIDE + _GAP)
        parts += [_axes(left, title, xs, below)]
        for place, (name, values) in enumerate(curves.items()):
            points = [(_x(left, x, xs), _y(value)) for x, value in zip(xs, values, strict=True)]
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            colour = _COLOURS[place % len(_COLOURS)]
            dash = ' stroke-dasharray="5 4"' if len(set(values)) == 1 else ""
            parts.append(
                f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'
            )
            parts += [
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points
            ]
            key = _TOP + 14 + 16 * place
            parts.append(f'<text x="{left + 10}" y="{key}" fill="{colour}">{escape(name)}</text>')
    out.write_text("\n".join([*parts, "</svg>\n"]), encoding="utf-8")


def _x(left: int, x: int, xs: Sequence[int]) -> float:
    first, last = math.log(xs[0]), math.log(xs[-1])
    return left + 12 + (_WIDE - 24) * (math.log(x) - first) / (last - first)


def _y(share: float) -> float:
    return _TOP + _HIGH * (1 - share)


def _axes(left: int, title: str, xs: Sequence[int], below: str) -> str:
    bottom = _TOP + _HIGH
    parts = [f'<text x="{left + _WIDE / 2}" y="24" text-anchor="middle" font-size="14">'
             f"{escape(title)}</text>"]  # fmt: skip
    for tenth in range(0, 11, 2):
        y = _y(tenth / 10)
        parts.append(
            f'<line x1="{left}" x2="{left + _WIDE}" y1="{y}" y2="{y}" stroke="#dddddd"/>'
            f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{tenth * 10} %</text>'
        )
    for x in xs:
        parts.append(
            f'<text x="{_x(left, x, xs):.1f}" y="{bottom + 18}" text-anchor="middle">{x}</text>'
        )
    middle = left + _WIDE / 2
    parts.append(
        f'<text x="{middle}" y="{bottom + 40}" text-anchor="middle">{escape(below)}</text>'
    )
    return "\n".join(parts)
