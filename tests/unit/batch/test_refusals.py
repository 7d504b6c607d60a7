"""What a list, its results and its gallery refuse, in their exact words."""

import logging
import os

import pytest

from guidegen.batch import prompt_list, readers
from guidegen.batch.gallery import Gallery
from guidegen.batch.prompt_list import PromptList, PromptListError
from guidegen.batch.results import Result, ResultLog
from guidegen.batch.run import Local, run_list
from guidegen.batch.variables import parse_variable
from guidegen.errors import ConfigError, OutputError
from guidegen.utils.stop import Stop


def written(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def checked(path, settings=None, **more):
    jobs = PromptList(path, settings, **more)
    jobs.check()
    return jobs


def problems(path, settings=None, **more):
    with pytest.raises(PromptListError) as caught:
        checked(path, settings, **more)
    return list(caught.value.problems)


def test_no_pictures_are_no_list(tmp_path):
    with pytest.raises(ConfigError, match=r"^count: draw at least 1 picture, not 0$"):
        PromptList(written(tmp_path, "l.txt", "a"), count=0)


def test_a_seed_that_is_drawn_each_time_has_no_place_in_a_list(tmp_path):
    why = "seed: a list needs seeds that stay, or a second call would draw it all again"
    path = written(tmp_path, "l.csv", "prompt,seed\na,1\nb, -1\n")
    assert problems(path) == [(3, why)]


def test_the_last_of_several_seeds_may_be_the_highest_and_not_beyond(tmp_path):
    highest = prompt_list.MAX_SEED
    path = written(tmp_path, "l.csv", f"prompt,seed\na,{highest - 1}\n")
    assert [job.config.seed for job in checked(path, count=2).jobs()] == [highest - 1, highest]
    assert problems(path, count=3) == [(2, "seed: with 3 pictures each it is too high")]


def test_a_list_of_too_many_pictures_is_to_be_split(tmp_path, monkeypatch):
    monkeypatch.setattr(prompt_list, "MAX_JOBS", 3)
    path = written(tmp_path, "l.txt", "a\nb\nc\n")
    assert checked(path).total == 3
    path.write_text("a\nb\nc\nd\ne\n")
    assert problems(path) == [(4, "more than 3 pictures in one list; split it")]
    path.write_text("a {x}\n")
    assert checked(path, variables={"x": ("1", "2", "3")}).total == 3
    four = {"x": ("1", "2", "3", "4")}
    assert problems(path, variables=four) == [(1, "its variables make 4 pictures; 3 at most")]


def test_what_was_checked_before_is_forgotten_and_not_let_through(tmp_path, monkeypatch):
    monkeypatch.setattr(prompt_list, "_REMEMBERED", 1)

    def also(config):
        if config.size == "64":
            raise ConfigError("64 is no good")

    jobs = PromptList(written(tmp_path, "l.csv", "prompt,size\na,64\nb,32\nc,64\n"))
    with pytest.raises(PromptListError) as caught:
        jobs.check(also)
    assert list(caught.value.problems) == [(2, "64 is no good"), (4, "64 is no good")]


@pytest.mark.parametrize("name", ["[1]", '"' + "x" * 201 + '"', "1.5", "null"])
def test_an_id_is_a_short_text_or_a_whole_number(tmp_path, name):
    path = written(tmp_path, "l.jsonl", f'{{"prompt": "a", "id": {name}}}')
    assert problems(path) == [(1, "id: a short text or a whole number")]


def test_a_list_that_is_gone_is_told(tmp_path):
    path = written(tmp_path, "l.txt", "a")
    jobs = PromptList(path)
    path.unlink()
    with pytest.raises(ConfigError) as caught:
        jobs.check()
    assert str(caught.value) == f"can't read the prompt list {path}: No such file or directory"


def test_a_row_that_is_no_utf_8_hides_no_other(tmp_path):
    text = b"prompt,seed\na,1\nR\xe9sum\xe9,2\nc,x\n"
    (second, fourth) = problems(written(tmp_path, "l.csv", text))
    assert (second[0], fourth[0]) == (3, 4)
    assert "0xE9" in second[1]
    assert fourth[1].startswith("seed: ")
    # without a header that can be read no row means anything
    ((line, why),) = problems(written(tmp_path, "h.csv", b"pr\xe9mpt\na\n"))
    assert (line, "0xE9" in why) == (1, True)


def test_toml_is_bounded_and_its_variables_are_lists(tmp_path, monkeypatch):
    path = written(tmp_path, "l.toml", "variables = 3\n[[job]]\nprompt = 'a'\n")
    with pytest.raises(ConfigError) as caught:
        PromptList(path)
    why = f'{path}: write variables as [variables] and colour = ["red", "blue"]'
    assert str(caught.value) == why
    path.write_text("job = [{prompt = 'a'}, {prompt = 'b', speed = 1}]\n")
    ((line, _),) = problems(path)
    assert line == 1
    monkeypatch.setattr(readers, "_MAX_TOML", 10)
    with pytest.raises(ConfigError) as caught:
        PromptList(path)
    assert str(caught.value) == f"{path} is longer than 64 MiB; write such a list as .jsonl"


def test_a_variable_without_values_is_told_how_to_be_written():
    with pytest.raises(ConfigError, match=r"^var: write 'colour' as NAME=VALUE,VALUE$"):
        parse_variable("colour")
    assert parse_variable("colour=") == ("colour", ())


@pytest.fixture
def jobs(tmp_path):
    return checked(written(tmp_path, "l.txt", "a\nb\n"))


def test_results_that_can_not_be_opened_are_told(tmp_path, jobs):
    (tmp_path / "results.jsonl").mkdir()
    with pytest.raises(OutputError) as caught:
        ResultLog(tmp_path, jobs)
    assert str(caught.value) == f"can't write {tmp_path / 'results.jsonl'}: Is a directory"


@pytest.mark.parametrize(
    "line", [b"{", b"[]", b"7", b"{}", b'{"key": "no hex"}', b'{"key": 1}', b"\xff", b""]
)
def test_a_damaged_line_is_no_result(line):
    assert Result.from_json(line) is None


def test_a_result_comes_back_from_its_line_and_one_of_unknown_status_does_not(jobs):
    result = Result.of(next(jobs.jobs()), status="failed", error="why")
    line = result.to_json()
    assert Result.from_json(line.encode()) == result
    assert Result.from_json(line.replace('"failed"', '"odd"').encode()) is None


def test_a_torn_last_line_is_cut_off_and_those_before_it_are_kept(tmp_path, jobs):
    results = ResultLog(tmp_path, jobs)
    first, second = (Result.of(job, status="failed", error="why") for job in jobs.jobs())
    results.add(first)
    results.close()
    whole = results.path.read_bytes()
    results.path.write_bytes(b"damaged\n" + whole + second.to_json()[:-9].encode())
    again = ResultLog(tmp_path, jobs)
    assert results.path.read_bytes() == b"damaged\n" + whole
    assert [again.read(0), again.read(1)] == [first, None]
    again.close()


def test_a_picture_that_can_not_be_read_costs_its_thumbnail(tmp_path, jobs, caplog):
    gallery = Gallery(tmp_path, "l", ResultLog(tmp_path, jobs), jobs.total)
    image = tmp_path / "run" / "image.png"
    image.parent.mkdir()
    image.write_bytes(b"no picture")
    assert gallery.thumbnail(image, new=True) == ""
    assert caplog.messages[0].startswith(f"no small picture of {image}: ")
    assert os.listdir(tmp_path / "thumbs") == []


def test_a_folder_of_thumbnails_that_can_not_be_made_is_told(tmp_path, jobs):
    (tmp_path / "thumbs").touch()
    gallery = Gallery(tmp_path, "l", ResultLog(tmp_path, jobs), jobs.total)
    with pytest.raises(OutputError) as caught:
        gallery.thumbnail(tmp_path / "run" / "image.png", new=True)
    assert str(caught.value) == f"can't make {tmp_path / 'thumbs'}: File exists"


@pytest.fixture
def stopped():
    stop = Stop()
    stop.set("stopped")
    return stop


def test_a_stopped_list_sweeps_what_a_killed_process_left_and_shows_its_page(
    tmp_path, jobs, stopped
):
    folder = tmp_path / "out"
    (folder / "thumbs").mkdir(parents=True)
    for name in (".a.tmp", "thumbs/.b.tmp", "c.tmp"):
        (folder / name).touch()
    assert list(run_list(jobs, folder, Local(), stop=stopped)) == []
    assert sorted(p.name for p in folder.rglob("*.tmp")) == ["c.tmp"]
    assert (folder / "index.html").is_file()
    assert not (folder / "contact-sheet.png").exists()


def test_a_gallery_that_can_not_be_written_does_not_hide_how_a_list_ended(
    tmp_path, jobs, stopped, caplog
):
    (tmp_path / "out" / "index.html").mkdir(parents=True)
    with caplog.at_level(logging.INFO, logger="guidegen"):
        assert list(run_list(jobs, tmp_path / "out", Local(), stop=stopped)) == []
    assert "the gallery could not be written" in caplog.messages
