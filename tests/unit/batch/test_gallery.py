"""The page of a list, as text and in a browser; contact sheets."""

import re
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from PIL import Image

from guidegen.batch import gallery as module
from guidegen.batch.gallery import Gallery
from guidegen.batch.prompt_list import PromptList
from guidegen.batch.results import Result, ResultLog
from guidegen.media.contact_sheet import contact_sheet
from guidegen.zero_shot.search.runs import run_pictures

PROMPTS = [
    "a red apple",
    '<script>document.title = "broken"</script> & "quotes"',
    "an ugly apple",
    "a dog $price ${x}",
    "この猫",
]
SCORES = [0.2, 0.5, None, 0.3, 0.4]


@pytest.fixture
def folder(tmp_path):
    """A batch folder as a finished list leaves it; the third job failed."""
    folder = tmp_path / "my list & more"
    folder.mkdir()
    path = tmp_path / "prompts <1>.txt"
    path.write_text(
        "".join(prompt.replace("{", "{{").replace("}", "}}") + "\n" for prompt in PROMPTS)
    )
    jobs = PromptList(path)
    jobs.check()
    results = ResultLog(folder, jobs)
    gallery = Gallery(folder, path.name, results, jobs.total)
    for job, score in zip(jobs.jobs(), SCORES, strict=True):
        if score is None:
            results.add(Result.of(job, status="failed", error="it is <ugly>"))
            continue
        run = folder / f"run #{job.number}"
        run.mkdir()
        Image.new("RGB", (640, 400), (40 * job.number, 200, 90)).save(run / "image.png")
        for name in ["run.json", "progress.mp4"]:
            (run / name).write_bytes(b"{}")
        results.add(
            Result.of(
                job, status="finished", run=run.name, image=f"{run.name}/image.png",
                video=f"{run.name}/progress.mp4" if job.number == 0 else "",
                thumbnail=gallery.thumbnail(run / "image.png", new=True),
                scores={"loss": 1 - score, "similarity a": score, "similarity b": score},
            )
        )  # fmt: skip
    gallery.write(running=False)
    gallery.contact_sheets()
    results.rewrite()
    results.close()
    return folder


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.links = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.links += [value for name, value in attributes if name in ("href", "src")]


def test_the_page_shows_every_job_and_every_link_leads_somewhere(folder):
    text = (folder / "index.html").read_text()
    page = Page(text)
    cards = [attributes for tag, attributes in page.tags if tag == "figure"]
    assert [card["data-job"] for card in cards] == list("01234")
    assert "4 of 5 pictures, 1 failed" in text
    assert len(page.links) > 12
    for link in page.links:
        assert not re.match(r"\w+:|/", link)  # nothing is loaded from elsewhere
        assert (folder / unquote(link)).is_file()
    # the page's own, and no prompt's
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert "&lt;ugly&gt;" in text


def test_the_page_names_the_command_that_searches_it_by_meaning(folder):
    assert (
        '<code>guidegen search --runs . "a lighthouse"</code>'
        in (folder / "index.html").read_text()
    )
    assert len(list(run_pictures(folder))) == 4


def test_thumbnails_are_small_and_made_once(folder):
    thumbs = sorted(folder.glob("thumbs/*.webp"))
    assert len(thumbs) == 4
    with Image.open(thumbs[0]) as image:
        assert image.size == (320, 200)
    assert all(path.stat().st_size < 20_000 for path in thumbs)


def test_contact_sheets_have_their_pictures_in_order(tmp_path):
    paths = []
    for n in range(5):
        paths.append(tmp_path / f"{n}.png")
        Image.new("RGB", (20, 10), (50 * n, 0, 0)).save(paths[-1])
    paths[3].write_text("no picture")
    sheet = contact_sheet([(path, "words " * 50) for path in paths], columns=2, side=100)
    assert sheet.size == (200, 3 * 134)
    middles = [sheet.getpixel((50 + 100 * (n % 2), 50 + 134 * (n // 2))) for n in range(5)]
    assert middles == [(0, 0, 0), (50, 0, 0), (100, 0, 0), (128, 128, 128), (200, 0, 0)]


def test_long_lists_have_several_pages_and_sheets(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PER_PAGE", 3)
    monkeypatch.setattr(module, "PER_SHEET", 4)
    path = tmp_path / "l.txt"
    path.write_text("".join(f"thing {n}\n" for n in range(10)))
    jobs = PromptList(path)
    jobs.check()
    results = ResultLog(tmp_path, jobs)
    gallery = Gallery(tmp_path, "l.txt", results, jobs.total)
    for job in jobs.jobs():
        results.add(Result.of(job, status="finished", run="r", image="r/image.png"))
        gallery.changed(job.number)
    gallery.write(running=True)
    assert "still drawing" in (tmp_path / "page-4.html").read_text()
    gallery.write(running=False)
    cards = [
        (tmp_path / name).read_text().count("<figure")
        for name in ["index.html", "page-2.html", "page-3.html", "page-4.html"]
    ]
    assert cards == [3, 3, 3, 1]
    assert 'href="page-4.html"' in (tmp_path / "index.html").read_text()
    sheets = [path.name for path in gallery.contact_sheets()]
    assert sheets == ["contact-sheet.png", "contact-sheet-2.png", "contact-sheet-3.png"]
    results.close()


@pytest.fixture
def page(folder, browser):
    page = browser.new_page()
    page.trouble = []
    page.on("pageerror", lambda error: page.trouble.append(str(error)))
    page.on("requestfailed", lambda request: page.trouble.append(request.url))
    page.goto((folder / "index.html").as_uri())
    yield page
    page.close()


def shown(page):
    return [
        int(card.get_attribute("data-job"))
        for card in page.locator("figure").all()
        if card.is_visible()
    ]


@pytest.mark.browser
def test_filter_order_and_links_in_a_browser(page, folder):
    assert page.title() == "prompts <1>.txt"
    assert shown(page) == [0, 1, 2, 3, 4]
    box, count = page.locator("#filter"), page.locator("#count")
    for words, wanted in [
        ("apple", [0, 2]), ("RED app", [0]), ("<script>", [1]), ("猫", [4]), ("ugly", [2]),
        ("$price ${x}", [3]), ("seed 0", [0, 1, 2, 3, 4]), ("nothing like it", []),
        ("", [0, 1, 2, 3, 4]),
    ]:  # fmt: skip
        box.fill(words)
        assert shown(page) == wanted, words
        whole = "4 of 5 pictures, 1 failed"
        assert count.text_content() == (f"{len(wanted)} of 5 shown" if words else whole)
    page.locator("#order").select_option("score")
    assert shown(page) == [1, 4, 3, 0, 2]
    box.fill("a")
    assert shown(page) == [3, 0, 2]
    box.fill("")
    page.locator("#order").select_option("job")
    assert shown(page) == [0, 1, 2, 3, 4]
    for image in page.locator("img").all():
        image.scroll_into_view_if_needed()
        page.wait_for_function("i => i.complete", arg=image.element_handle())
        assert image.evaluate("image => image.naturalWidth") == 320
    page.locator("figure").first.get_by_text("picture").click()
    assert page.url == (folder / "run #0" / "image.png").as_uri()
    assert not page.trouble
