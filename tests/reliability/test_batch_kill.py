"""A list that is killed, stopped or refused anywhere goes on and does nothing twice."""

import json
import signal

import pytest

from tests.helpers.lists import pictures, rows
from tests.helpers.tiny_clip import make_tiny_clip
from tests.reliability.harness import guidegen

pytestmark = pytest.mark.slow

KILLED = -signal.SIGKILL
JOBS = 11  # a batch of eight and one of three


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
    clip = make_tiny_clip(tmp_path_factory.mktemp("clip") / "tiny")
    flags = ["-g", "pixels", "--size", 16, "--cutouts", 2, "--steps", 6, "--save-every", 2]
    return [*flags, "--perceptor", f"local-dir:{clip}", "--quiet", "--out", "all"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "l.txt").write_text("".join(f"thing number {n}\n" for n in range(JOBS)))
    return tmp_path


@pytest.fixture(scope="module")
def whole(tmp_path_factory, flags):
    folder = tmp_path_factory.mktemp("whole")
    (folder / "l.txt").write_text("".join(f"thing number {n}\n" for n in range(JOBS)))
    code, err = guidegen("batch", "l.txt", *flags, cwd=folder)
    assert code == 0, err
    return pictures(folder / "all")


def same(folder, whole):
    assert pictures(folder / "all") == whole
    assert [row["job"] for row in rows(folder / "all")] == list(range(JOBS))
    assert {row["status"] for row in rows(folder / "all")} == {"finished"}
    page = (folder / "all" / "index.html").read_text()
    assert page.count("<figure") == JOBS
    assert "still drawing" not in page
    assert not list((folder / "all").glob(".*"))


KILLS = [
    "step@3:1", "rename@image.png:5", "append@results.jsonl:1", "step@5:1", "rename@image.png:2",
    "write@index.html:1", "rename@index.html:1", "write@contact-sheet.png:1",
    "fsync@results.csv:1", "rename@results.jsonl:1", "renamed@results.jsonl:1",
]  # fmt: skip


def test_killed_at_one_place_after_another(folder, flags, whole):
    """Each call goes on from where the one before was killed."""
    for place in KILLS:
        assert guidegen("batch", "l.txt", *flags, cwd=folder, fail=f"{place}:kill")[0] == KILLED, (
            place
        )
    code, err = guidegen("batch", "l.txt", *flags, cwd=folder)
    assert code == 0, err
    same(folder, whole)


@pytest.mark.parametrize("place", ["step@3:1", "append@results.jsonl:4", "rename@results.jsonl:1"])
def test_killed_once(folder, flags, whole, place):
    assert guidegen("batch", "l.txt", *flags, cwd=folder, fail=f"{place}:kill")[0] == KILLED
    finished = {
        path.parent.name: path.stat().st_mtime_ns
        for path in (folder / "all").glob("*/image.png")
        if json.loads((path.parent / "run.json").read_text())["status"] == "finished"
    }
    code, err = guidegen("batch", "l.txt", *flags, cwd=folder)
    assert code == 0, err
    same(folder, whole)
    for name, written in finished.items():
        assert (folder / "all" / name / "image.png").stat().st_mtime_ns == written


@pytest.mark.parametrize(("action", "code"), [("int", 130), ("term", 143)])
@pytest.mark.parametrize("place", ["step@3:1", "job:10", "append@results.jsonl:2"])
def test_a_signal_stops_the_list_and_it_goes_on(folder, flags, whole, place, action, code):
    found, err = guidegen("batch", "l.txt", *flags, cwd=folder, fail=f"{place}:{action}")
    assert found == code
    assert err.count("\n") == 1
    assert "goes on from here" in err
    done = len(rows(folder / "all"))
    assert done < JOBS
    assert (folder / "all" / "index.html").read_text().count("<figure") == done
    assert guidegen("batch", "l.txt", *flags, cwd=folder)[0] == 0
    same(folder, whole)
