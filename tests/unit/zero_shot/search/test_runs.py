"""Runs by what their pictures show."""

import guidegen
from guidegen.zero_shot.search.runs import run_pictures


def make_run(picture, folder, color):
    picture(folder / "image.png", color)
    picture(folder / "preview.png", "white")
    (folder / "run.json").write_text("{}")
    return folder


def test_runs_are_found_wherever_they_lie_and_other_pictures_are_not(tmp_path, picture):
    red = make_run(picture, tmp_path / "a-red-disc-0-00000000", "red")
    blue = make_run(picture, tmp_path / "list" / "a-blue-disc-0-00000000", "blue")
    (make_run(picture, tmp_path / "no-picture", "blue") / "image.png").unlink()
    make_run(picture, tmp_path / ".trash" / "gone", "blue")
    picture(tmp_path / "list" / "thumbs" / "x.png", "blue")
    told = []
    found = guidegen.search_runs(
        tmp_path, "a blue circle", progress=lambda done, total: told.append((done, total))
    )
    assert [hit.run for hit in found] == [blue, red]
    assert found[0].similarity > found[1].similarity
    assert told == [(1, 2), (2, 2)]


def test_a_run_that_went_and_one_that_came_are_seen_if_one_looks(tmp_path, tiny, picture):
    first = make_run(picture, tmp_path / "first", "red")
    assert [hit.run for hit in guidegen.search_runs(tmp_path, "a", perceptor=tiny)] == [first]
    (first / "image.png").unlink()
    second = make_run(picture, tmp_path / "second", "blue")
    as_it_was = guidegen.search_runs(tmp_path, "a", perceptor=tiny, update=False)
    assert [hit.run for hit in as_it_was] == [first]
    assert [hit.run for hit in guidegen.search_runs(tmp_path, "a", perceptor=tiny)] == [second]
    assert [path.parent for path in run_pictures(tmp_path)] == [second]
