"""The page's files: nothing from elsewhere, no markup from text, every word in one file."""

import re
from pathlib import Path

import guidegen

PAGE = Path(guidegen.__file__).parent / "studio" / "page"
SCRIPTS = sorted(PAGE.rglob("*.js"))
WORDS = PAGE / "js" / "text.js"
# An element's text, or an attribute that is read out, written where it stands.
TEXT = re.compile(
    r"""(?:\{\}|\}),\s*"(?=[^"]*[A-Za-z]{2})[^"]+"\s*[,)]|(?:title|placeholder|alt|"aria-label"):\s*"[^"]+\""""
)


def test_nothing_comes_from_elsewhere():
    for path in [*SCRIPTS, *PAGE.glob("*.css"), PAGE / "index.html"]:
        found = re.findall(r"(?:https?:)?//[\w.-]+\.\w+", path.read_text())
        assert set(found) <= {"http://www.w3.org"}, path  # SVG's namespace


def test_no_text_becomes_markup_or_code():
    for path in SCRIPTS:
        text = path.read_text()
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert word not in text, path
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|style=", (PAGE / "index.html").read_text())


def test_every_word_of_the_page_stands_in_one_file():
    known = set(re.findall(r"^  (\w+):", WORDS.read_text(), re.MULTILINE)) | {"duration"}
    used = set()
    for path in SCRIPTS:
        text = path.read_text()
        used |= set(re.findall(r"\bT\.(\w+)", text))
        if path != WORDS:
            assert not TEXT.search(text), (path, TEXT.search(text))
    assert used <= known
    assert known - used <= {"duration"}
