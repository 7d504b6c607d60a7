"""Everybody can use it: axe-core, the keyboard, narrow screens, dark mode."""

import pytest

from tests.studio.conftest import until

pytestmark = [
    pytest.mark.browser,
    pytest.mark.needs("starlette", "uvicorn", "sse_starlette", "axe_playwright_python"),
]
VIEWS = ["make", "wall", "list", "grid", "run"]


@pytest.fixture(scope="module")
def drawn(server):
    name = server.post("/api/jobs", {"fields": {"prompt": "a red apple | fog:-0.5", "steps": 9}})
    return server.job(name["id"])["runs"]["0"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(server, drawn, open_page, scheme):
    from axe_playwright_python.sync_playwright import Axe

    page = open_page(server.address, color_scheme=scheme, bypass_csp=True)
    for view in VIEWS:
        go(page, server, view, drawn)
        if view == "make":
            page.get_by_label("Prompt", exact=True).fill("a dog:2 | fog:-0.5")
            page.locator(".part.away").wait_for()
            page.locator("details.drawer").evaluate("drawer => { drawer.open = true }")
        if view == "wall":
            page.get_by_label("Look by").select_option("Meaning")
            page.get_by_label("Search").fill("a dog:0,5")
            page.locator("#search-error", has_text="not a number").wait_for()
        found = Axe().run(page).response["violations"]
        bad = [one for one in found if one["impact"] in ("serious", "critical")]
        told = [(view, one["id"], [node["html"][:200] for node in one["nodes"]]) for one in bad]
        assert not told


def go(page, server, view, drawn):
    page.goto(f"{server.origin}/#/{view}/{drawn if view == 'run' else ''}")
    page.locator(f"main.view-{view} h1").first.wait_for(state="attached")


def test_a_picture_is_made_with_the_keyboard_alone(server, drawn, open_page):
    page = open_page(server.address)
    until(page, "document.activeElement?.id == 'prompt'")
    page.keyboard.type("a green hat")
    page.keyboard.press("Control+Enter")
    page.locator(".stage h2", has_text="a green hat").wait_for()
    page.locator(".stage[data-state=finished]").wait_for()
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.candidate a')"):
            break
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="a green hat").wait_for()


def test_nothing_is_wider_than_a_narrow_screen(server, drawn, open_page):
    page = open_page(server.address, viewport={"width": 360, "height": 740})
    for view in VIEWS:
        go(page, server, view, drawn)
        page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, view
