"""Making a picture: previews, stop, reload."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.needs("starlette", "uvicorn", "sse_starlette")]


def fill(page, prompt, **settings):
    page.get_by_label("Prompt", exact=True).fill(prompt)
    page.locator("details.drawer").evaluate("drawer => { drawer.open = true }")
    for name, value in settings.items():
        page.locator(f"[name={name}]").fill(str(value))


def test_a_picture_is_made_and_its_preview_changes(server, open_page):
    page = open_page(server.address)
    fill(page, "a red apple", steps=1500)
    page.get_by_role("button", name="Draw", exact=True).click()
    image = page.locator(".candidate img")
    seen = set()
    page.wait_for_function("document.querySelector('.candidate img')?.naturalWidth > 0")
    while len(seen) < 4 and page.locator(".stage[data-state=finished]").count() == 0:
        seen.add(image.evaluate(SHA))
        page.wait_for_timeout(200)
    assert len(seen) >= 4  # the first, and three changes
    page.locator(".stage[data-state=finished]").wait_for()
    assert "/api/file/" in image.get_attribute("src")


# The pixels that are shown, as text.
SHA = """image => {
  const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
  const room = canvas.getContext("2d");
  room.drawImage(image, 0, 0);
  return room.getImageData(0, 0, canvas.width, canvas.height).data.join();
}"""
