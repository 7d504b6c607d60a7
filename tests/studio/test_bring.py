"""Bringing in the browser: a dropped picture, labels, lists, grids."""

import base64
import io

import pytest
from PIL import Image

from guidegen.config import make_config
from guidegen.runs.metadata import save_png
from tests.studio.conftest import until

pytestmark = [pytest.mark.browser, pytest.mark.needs("starlette", "uvicorn", "sse_starlette")]

DROP = """([data, name, type]) => {
  const bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
  const given = new DataTransfer();
  given.items.add(new File([bytes], name, { type }));
  for (const kind of ["dragenter", "dragover", "drop"])
    window.dispatchEvent(new DragEvent(kind, { dataTransfer: given, cancelable: true }));
}"""


def drop(page, data, name, kind):
    page.locator("main h1").wait_for(state="attached")
    page.evaluate(DROP, [base64.b64encode(data).decode(), name, kind])


def plain(colour="red"):
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_dropped_picture_fills_the_fields(server, open_page):
    config = make_config(
        {"prompt": "an owl | fog:-0.5", "seed": 77, "steps": 12, "generator": "fourier", "lr": 0.07}
    )
    page = open_page(server.address)
    drop(page, save_png(Image.new("RGB", (32, 32)), config), "owl.png", "image/png")
    page.get_by_role("button", name="Take its settings").click()
    assert page.get_by_label("Prompt", exact=True).input_value() == "an owl | fog:-0.5"
    for name, value in {"seed": "77", "steps": "12", "generator": "fourier", "lr": "0.07"}.items():
        assert page.locator(f"[name={name}]").input_value() == value


def test_a_dropped_picture_becomes_a_start_or_says_what_it_shows(server, open_page):
    page = open_page(server.address)
    page.get_by_label("Prompt", exact=True).fill("a rose")
    drop(page, plain(), "red.png", "image/png")
    page.get_by_label("What does it show?").fill("red,blue")
    page.get_by_role("button", name="Say").click()
    page.locator(".labels meter").first.wait_for(timeout=90_000)
    assert page.locator(".labels li").count() == 2
    page.get_by_role("button", name="Start from it").click()
    assert page.get_by_label("Prompt", exact=True).input_value() == "a rose"
    assert page.locator("[name=init_image]").input_value().startswith("upload:")
    page.locator("[name=steps]").evaluate("field => { field.value = '3' }")
    page.get_by_role("button", name="Draw", exact=True).click()
    page.locator(".stage h2", has_text="a rose").wait_for()
    page.locator(".stage[data-state=finished]").wait_for()
    run = server.get("/api/jobs")[-1]["runs"]["0"]
    assert ".studio/uploads/" in server.get(f"/api/run/{run}")["config"]["init_image"]


def test_a_part_is_painted_over_and_all_else_stays(server, open_page):
    page = open_page(server.address)
    page.get_by_label("Prompt", exact=True).fill("a tulip")
    drop(page, plain("blue"), "blue.png", "image/png")
    page.get_by_role("button", name="Repaint a part").click()
    box = page.locator(".painting canvas").bounding_box()
    for part in (0.0, 0.5, 1.0):  # a line on the left, from top to bottom
        page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 1 + part * (box["height"] - 2))
        if part == 0:
            page.mouse.down()
    page.mouse.up()
    page.get_by_role("button", name="Done").click()
    until(page, "document.querySelector('[name=mask]').value.startsWith('upload:')")
    page.locator("details.drawer").evaluate("drawer => { drawer.open = true }")
    page.locator("[name=steps]").fill("5")
    page.get_by_role("button", name="Draw", exact=True).click()
    page.locator(".stage h2", has_text="a tulip").wait_for()
    page.locator(".stage[data-state=finished]").wait_for()
    run = server.get("/api/jobs")[-1]["runs"]["0"]
    with Image.open(server.folder / run / "image.png") as image:
        assert image.getpixel((30, 16)) == (0, 0, 255)
        assert image.getpixel((5, 16)) != (0, 0, 255)


def test_what_is_no_picture_is_refused_in_words(server, open_page):
    page = open_page(server.address)
    drop(page, b"<svg onload=alert(1)>", "bad.png", "image/png")
    page.locator("dialog .error", has_text="it is no image").wait_for()


def test_a_list_names_its_bad_lines_and_is_drawn(server, open_page):
    page = open_page(f"{server.origin}/#/list")
    drop(page, b"a red apple\na cat:0,5\na dog\n | \n", "things.txt", "text/plain")
    problems = page.locator(".problems .error")
    until(page, "document.querySelectorAll('.problems .error').length == 2")
    assert problems.nth(0).text_content().startswith("Line 2:")
    assert problems.nth(1).text_content().startswith("Line 4:")
    assert page.get_by_role("button", name="Draw the list").is_disabled()
    page.get_by_label("Prompts").fill("a red apple\na cat:0.5\na dog\n")
    page.locator(".problems .good", has_text="3 prompts").wait_for()
    page.get_by_role("button", name="Draw the list").click()
    until(page, "document.querySelectorAll('.hung img').length == 3")
    page.locator(".chip[data-state=finished]").first.wait_for()
    assert (server.folder / "things" / "index.html").is_file()
    page.get_by_role("link", name="Open on the wall").click()
    until(page, "document.querySelectorAll('.card').length == 3")


def test_a_grid_is_drawn_cell_by_cell(server, open_page):
    page = open_page(f"{server.origin}/#/grid")
    page.locator("#grid-prompt").fill("a fox")
    page.locator("#axis-x").select_option("seed")
    page.locator("#axis-x-values").fill("0,1,2")
    page.locator("#axis-y").select_option("lr")
    page.locator("#axis-y-values").fill("0.1,0.2")
    page.locator("#set-steps").fill("2")
    page.locator(".help", has_text="6 cells").wait_for()
    page.get_by_role("button", name="Draw the grid").click()
    until(page, "document.querySelectorAll('.sheet img').length == 6")
    page.get_by_role("link", name="Labelled sheet").wait_for()
    assert page.locator(".sheet tbody th").all_text_contents() == ["lr 0.1", "lr 0.2"]
    assert len(list(server.folder.glob("grid-a-fox-*.png"))) == 1
