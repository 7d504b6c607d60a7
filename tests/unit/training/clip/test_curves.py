"""The plot of a training run."""

import json

import pytest

from guidegen.errors import DataError
from guidegen.training.clip.curves import plot, table


def write(path, *lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def line(step, **shares):
    return {"step": step, "val-top1": 0.8, "adversarial-top1": 0.1, **shares}


def column(image, x, colour):
    """Heights above the bottom at which a column of the picture has a colour."""
    return [image.height - y for y in range(image.height) if image.getpixel((x, y)) == colour]


def test_curves_rise_and_fall_with_their_figures(tmp_path):
    file = write(
        tmp_path / "c.jsonl",
        line(100, **{"adversarial-top1": 0.0}),
        line(200, **{"adversarial-top1": 0.5}),
    )
    image = plot(file)
    red, blue = (214, 39, 40), (31, 119, 180)
    early, late = column(image, 310, red), column(image, 540, red)
    assert max(early) < min(late)
    assert min(column(image, 540, blue)) > max(late)


def test_a_step_that_was_repeated_counts_once_as_the_last_run_has_it(tmp_path):
    once = plot(write(tmp_path / "a.jsonl", line(1), line(2), line(3)))
    twice = plot(
        write(tmp_path / "b.jsonl", line(1), line(2, **{"val-top1": 0.1}), line(2), line(3))
    )
    assert once.tobytes() == twice.tobytes()


def test_the_table_has_a_row_an_evaluation(tmp_path):
    file = write(tmp_path / "c.jsonl", line(100, size=64, eps=0.25), line(200))
    assert table(file).splitlines()[2:] == [
        "| 100 | 64 | 0.25 | 80.0% |  | 10.0% |",
        "| 200 |  |  | 80.0% |  | 10.0% |",
    ]


def test_what_is_no_record_of_a_training_is_refused(tmp_path):
    for file in (
        tmp_path / "none.jsonl",
        write(tmp_path / "one.jsonl", line(1)),
        write(tmp_path / "other.jsonl", {"a": 1}),
        write(tmp_path / "list.jsonl", [1]),
    ):
        with pytest.raises(DataError, match=file.name) as caught:
            plot(file)
        assert "\n" not in str(caught.value)
