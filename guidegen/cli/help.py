"""How help looks: two columns of plain text, as wide as the terminal but no wider than 100."""

import textwrap
from typing import Any

_INDENT = "  "
_COLUMN = 28
_WIDEST = 100


class Columns:
    """A help formatter for cyclopts: the flag on the left, what it does on the right."""

    def __call__(self, console: Any, options: Any, panel: Any) -> None:
        """Print one group of flags or commands."""
        if not panel.entries:
            return
        lines = [f"{panel.title}:"] if panel.title else []
        for entry in panel.entries:
            metavar = panel.format == "parameter"
            labels = entry.display_labels_with_metavar if metavar else entry.display_labels
            text = _plain(entry.description)
            if entry.choices:
                text += f" [{', '.join(entry.choices)}]"
            lines += _row(", ".join(labels), text, min(console.width, _WIDEST))
        _print(console, "\n".join([*lines, ""]))

    def render_usage(self, console: Any, options: Any, usage: Any) -> None:
        """Print the usage line."""
        if text := _plain(usage).rstrip():
            _print(console, f"Usage: {text.removeprefix('Usage: ')}\n")

    def render_description(self, console: Any, options: Any, description: Any) -> None:
        """Print what stands before the flags; its line breaks are kept."""
        if text := _plain(description).rstrip():
            _print(console, text + "\n")


def _row(label: str, text: str, width: int) -> list[str]:
    label = _INDENT + label
    wrapped = textwrap.wrap(text, max(20, width - _COLUMN)) or [""]
    # A label that fills its column has the line to itself.
    first = label if len(label) > _COLUMN - 2 else label.ljust(_COLUMN) + wrapped.pop(0)
    return [line.rstrip() for line in [first, *(" " * _COLUMN + rest for rest in wrapped)]]


def _plain(text: Any) -> str:
    """The characters of one of rich's or cyclopts' texts, without their style."""
    if text is None:
        return ""
    if isinstance(text, str) or hasattr(text, "plain"):
        return str(getattr(text, "plain", text)).strip("\n")
    inner = getattr(text, "primary_renderable", text)
    return str(getattr(inner, "plain", inner)).strip("\n")


def _print(console: Any, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
