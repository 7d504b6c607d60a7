"""The page of what was found."""

from guidegen.zero_shot.search.page import write_page
from guidegen.zero_shot.search.query import Hit


def test_the_page_shows_what_was_found(tmp_path):
    page = write_page(tmp_path / "x.html", "a <cat>", [Hit(tmp_path / "a b&c.png", 0.5)])
    text = page.read_text()
    assert "a &lt;cat&gt;" in text
    assert "a%20b%26c.png" in text
    assert "0.500 a b&amp;c.png" in text
