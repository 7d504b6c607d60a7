"""Making pictures in the browser: previews, stop, pause, reload, starts, the queue."""

import json

import pytest

from tests.studio.conftest import until

pytestmark = [pytest.mark.browser, pytest.mark.needs("starlette", "uvicorn", "sse_starlette")]

# The pixels that are shown, as text.
PIXELS = """image => {
  const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
  const room = canvas.getContext("2d");
  room.drawImage(image, 0, 0);
  return room.getImageData(0, 0, canvas.width, canvas.height).data.join();
}"""


def draw(page, prompt, *, button="Draw", count=1, **settings):
    page.get_by_label("Prompt", exact=True).fill(prompt)
    page.locator("details.drawer").evaluate("drawer => { drawer.open = true }")
    page.locator("#set-count").fill(str(count))
    for name, value in settings.items():
        page.locator(f"[name={name}]").fill(str(value))
    page.get_by_role("button", name=button, exact=True).click()
    shown(page, prompt)


def shown(page, prompt):
    """Wait until the stage is that of a job; another may have been there before."""
    until(page, f"document.querySelector('.stage h2')?.textContent == {json.dumps(prompt)}")


def state(page, wanted):
    page.locator(f".stage[data-state={wanted}]").wait_for()


def test_a_picture_is_made_and_its_preview_changes(server, open_page):
    page = open_page(server.address)
    draw(page, "a red apple", steps=100_000)
    image = page.locator(".candidate img")
    until(page, "document.querySelector('.candidate img')?.naturalWidth > 0")
    seen = set()
    while len(seen) < 4:  # the first, and three changes
        seen.add(image.evaluate(PIXELS))
        page.wait_for_timeout(100)
    page.locator(".curve svg polyline").first.wait_for()
    page.locator(".stage").get_by_role("button", name="Stop", exact=True).click()
    state(page, "stopped")
    until(page, "document.querySelector('.candidate img').src.includes('/api/file/')")
    page.locator(".candidate a").click()
    page.get_by_role("heading", name="a red apple").wait_for()


def test_stop_keeps_the_best_and_reload_and_pause_lose_nothing(server, open_page):
    page = open_page(server.address)
    draw(page, "a blue pear", steps=100_000)
    state(page, "running")
    page.locator(".where", has_text="Step").wait_for()
    page.reload()
    state(page, "running")
    assert page.locator(".stage h2").text_content() == "a blue pear"
    page.locator(".curve svg polyline").first.wait_for()
    page.locator(".stage").get_by_role("button", name="Pause").click()
    state(page, "paused")
    page.locator(".stage").get_by_role("button", name="Go on").click()
    state(page, "running")
    page.locator(".stage").get_by_role("button", name="Stop", exact=True).click()
    state(page, "stopped")
    job = server.get("/api/jobs")[-1]
    run = server.get(f"/api/run/{job['runs']['0']}")
    assert (run["status"], run["picture"]) == ("interrupted", True)
    losses = [json.loads(line) for line in steps(server, job)]
    assert run["scores"]["loss"] == pytest.approx(
        min(line["losses"]["total"] for line in losses), abs=1e-5
    )
    image = page.locator(".candidate img")
    until(page, "document.querySelector('.candidate img').src.includes('/api/file/')")
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 32


def steps(server, job):
    return (server.folder / job["runs"]["0"] / "steps.jsonl").read_text().splitlines()


def test_markup_in_a_prompt_is_text(server, open_page):
    page = open_page(server.address)
    prompt = '<img src=x onerror="document.title=1"><b>bold</b> & </textarea><script>1</script>'
    draw(page, prompt, steps=2)
    state(page, "finished")
    assert page.locator(".stage h2").text_content() == prompt
    assert page.locator(".part span").first.text_content() == prompt
    page.locator(".candidate a").click()
    assert page.locator(".about h1").text_content() == prompt
    page.get_by_role("link", name="Wall").click()
    page.locator(".card .words", has_text="bold").first.wait_for()
    assert page.locator("b", has_text="bold").count() == 0
    assert page.locator("script:not([src])").count() == 0
    assert "1" not in page.title()


def test_errors_stand_at_their_fields(server, open_page):
    page = open_page(server.address)
    page.get_by_label("Prompt", exact=True).fill("a dog:0,5")
    page.locator("#prompt-error", has_text="is not a number").wait_for()
    page.get_by_label("Prompt", exact=True).fill("a dog:2 | fog:-0.5")
    page.locator(".part.away", has_text="fog").wait_for()
    page.locator("#set-size").fill("7")
    page.locator("[data-for=size]", has_text="sides must be between 16 and 4096").wait_for()
    assert page.locator("#set-size").get_attribute("aria-invalid") == "true"


def test_starts_are_seen_first_and_chosen(server, open_page):
    page = open_page(server.address)
    draw(page, "a yellow chair", button="See starts first", count=3, steps=4, seed=5)
    state(page, "finished")
    until(page, "document.querySelectorAll('.candidate img[src*=preview]').length == 3")
    until(page, "[...document.querySelectorAll('.candidate img')].every(i => i.naturalWidth)")
    assert page.locator(".candidate output", has_text="best").count() == 1
    before = page.locator(".candidate img").nth(1).evaluate(PIXELS)
    page.get_by_label("start 2").check()
    page.get_by_label("start 3").check()
    page.get_by_role("button", name="Go on with 2").click()
    until(page, "document.querySelectorAll('.candidate').length == 2")
    state(page, "finished")
    job = server.get("/api/jobs")[-1]
    assert (job["seeds"], job["picks"], job["done"]) == ([5], [2, 3], 2)
    run = job["runs"]["0"]
    assert "--pick 2" in server.get(f"/api/run/{run}")["command"]
    page.goto(f"{server.origin}/#/run/{run}")
    page.locator("#moment").fill("0")
    until(page, "document.querySelector('.large').src.includes('/api/moment/0/')")
    until(page, "document.querySelector('.large').complete")
    # the same picture, but for the JPEG: it began where its start was seen
    assert page.locator(".large").evaluate(PIXELS) == before


def test_the_queue_is_reordered_cancelled_and_forgotten(server, open_page):
    page = open_page(server.address)
    for number in range(10):  # more than are drawn at once
        server.post("/api/jobs", {"fields": {"prompt": f"thing {number}", "steps": 100_000}})
    row = page.locator(".jobs li[data-state=waiting]")
    until(page, "document.querySelectorAll('.jobs li[data-state=waiting]').length == 2")
    assert [text.strip() for text in row.locator(".title").all_text_contents()] == [
        "thing 8", "thing 9",
    ]  # fmt: skip
    page.get_by_role("button", name="Earlier: thing 9").click()
    until(
        page,
        "document.querySelector('.jobs li[data-state=waiting] .title').textContent == 'thing 9'",
    )
    page.get_by_role("button", name="Cancel: thing 9").click()
    page.locator(".jobs li[data-state=stopped] .title", has_text="thing 9").wait_for()
    page.get_by_role("button", name="Remove from the list: thing 9").click()
    page.locator(".jobs .title", has_text="thing 9").wait_for(state="detached")
    for job in server.get("/api/jobs"):
        server.post(f"/api/jobs/{job['id']}/stop", {})
    server.wait(lambda: all(j["state"] in ("stopped", "finished") for j in server.get("/api/jobs")))
