"""What a search found as a page that needs no server."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from guidegen.utils.files import write_atomic
from guidegen.zero_shot.search.query import Hit

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width">
<style>
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 1.5rem; }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(12rem, 1fr)); gap: 1rem; }}
figure {{ margin: 0; }} img {{ width: 100%; height: 12rem; object-fit: contain; }}
figcaption {{ overflow-wrap: anywhere; color: #444; font-size: 13px; }}
</style>
<h1>{title}</h1>
<main>
{figures}
</main>
</html>
"""


def write_page(out: Path, title: str, hits: Sequence[Hit], captions: Sequence[str] = ()) -> Path:
    """Write the pictures that were found, each a link to its file.

    Args:
        out: an .html file; the pictures stay where they are.
        title: what was asked for.
        hits: the nearest first.
        captions: what stands below each; the names of the files where there are none.

    Raises:
        OutputError: it can't be written.
    """
    below = captions or [hit.path.name for hit in hits]
    figures = "\n".join(map(_figure, hits, below))
    text = _PAGE.format(title=escape(title), figures=figures)
    return write_atomic(out, text.encode(errors="replace"))


def _figure(hit: Hit, caption: str) -> str:
    link = escape(quote(hit.path.resolve().as_posix().encode(errors="surrogateescape")))
    name = escape(caption)
    return (
        f'<figure><a href="file://{link}"><img loading="lazy" src="file://{link}" alt="{name}"></a>'
        f"<figcaption>{hit.similarity:.3f} {name}</figcaption></figure>"
    )
