"""Prompt lists: four formats, variables, and everything that can be wrong with a file."""

import json
import tracemalloc
from itertools import islice

import pytest

from guidegen.batch.prompt_list import PromptList, PromptListError
from guidegen.batch.readers import Problems
from guidegen.batch.variables import expand, parse_variable
from guidegen.config import make_config
from guidegen.errors import ConfigError


def read(path, settings=None, **more):
    jobs = PromptList(path, settings, **more)
    jobs.check()
    return list(jobs.jobs())


def written(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def problems(path, **more):
    with pytest.raises(PromptListError) as caught:
        read(path, **more)
    assert "\n" not in str(caught.value)
    return caught.value.problems


def brief(jobs):
    return [(job.line, job.config.prompt, job.config.seed) for job in jobs]


def test_text_has_a_prompt_a_line(tmp_path):
    text = "# comment\na red apple\n\n  an owl | night:0.5 \n\\# sharp\n"
    jobs = read(written(tmp_path, "l.txt", text), count=2)
    assert brief(jobs) == [
        (2, "a red apple", 0), (2, "a red apple", 1), (4, "an owl | night:0.5", 0),
        (4, "an owl | night:0.5", 1), (5, "# sharp", 0), (5, "# sharp", 1),
    ]  # fmt: skip
    assert [job.number for job in jobs] == list(range(6))


@pytest.mark.parametrize("text", [b"\xef\xbb\xbfa cat\r\na dog\r\n", b"a cat\na dog"])
def test_bom_crlf_and_a_missing_last_newline_are_fine(tmp_path, text):
    assert brief(read(written(tmp_path, "l.txt", text))) == [(1, "a cat", 0), (2, "a dog", 0)]


def test_csv_columns_are_settings(tmp_path):
    text = (
        'id,prompt,seed,size,negative\r\na,"a cat, asleep",7,64x32,fog\r\n\r\nb,"two\r\nlines"\r\n'
    )
    first, second = read(written(tmp_path, "l.csv", b"\xef\xbb\xbf" + text.encode()), {"seed": 3})
    assert (first.id, first.config.prompt, first.config.seed) == ("a", "a cat, asleep", 7)
    assert (first.config.size, first.config.negative) == ("64x32", ("fog",))
    # an empty cell is no setting; the line is where the row begins
    assert (second.line, second.config.seed, second.config.size) == (4, 3, None)


def test_jsonl_objects_are_settings(tmp_path):
    lines = [
        {"prompt": "a cat", "perceptor": ["a/b", "c/d@0.5"], "steps": 5},
        {"prompt": "ein Hund für 猫", "id": 12},
    ]
    path = written(tmp_path, "l.jsonl", "\n".join(json.dumps(line) for line in lines) + "\n\n")
    first, second = read(path, {"steps": 9})
    assert (first.config.perceptor, first.config.steps) == (("a/b", "c/d@0.5"), 5)
    assert (second.config.prompt, second.config.steps, second.id) == ("ein Hund für 猫", 9, "12")


def test_toml_has_defaults_variables_and_jobs(tmp_path):
    text = """
steps = 5
seed = 2
[variables]
colour = ["red", "blue"]
[[job]]
prompt = "a {colour} cat"
[[job]]
prompt = "a dog"
steps = 7
"""
    jobs = read(written(tmp_path, "l.toml", text), {"seed": 4}, below={"steps": 1, "lr": 0.5})
    assert brief(jobs) == [(6, "a red cat", 4), (6, "a blue cat", 4), (8, "a dog", 4)]
    assert [job.config.steps for job in jobs] == [5, 5, 7]
    assert {job.config.lr for job in jobs} == {0.5}


def test_variables_become_every_combination():
    variables = {"colour": ("red", "blue"), "thing": ("cat", "dog")}
    prompts = [texts[0] for texts in expand(["a {colour} {thing}"], variables)]
    assert prompts == ["a red cat", "a red dog", "a blue cat", "a blue dog"]
    # the prompt and its negatives vary together
    assert list(expand(["a {thing}", "{thing}s"], {"thing": ("cat", "dog")})) == [
        ("a cat", "cats"),
        ("a dog", "dogs"),
    ]
    assert list(expand(["{{braces}} stay"], {})) == [("{braces} stay",)]
    assert parse_variable("a= x , y") == ("a", ("x", "y"))


@pytest.mark.parametrize("text", ["a {size} cat", "a {} cat", "a { cat", "a } cat"])
def test_a_variable_that_is_not_defined_is_refused_with_its_line(tmp_path, text):
    path = written(tmp_path, "l.txt", f"a {{colour}} dog\n{text}\n")
    ((line, why),) = problems(path, variables={"colour": ("red",)})
    assert line == 2
    assert "{{" in why or "}}" in why


@pytest.mark.parametrize(
    "variables", [{"a b": ["x"]}, {"a": []}, {"a": [""]}, {"a": ["x", "x"]}, {"a": [1]}]
)
def test_variables_that_can_not_be(tmp_path, variables):
    with pytest.raises(ConfigError):
        read(written(tmp_path, "l.txt", "a cat"), variables=variables)


def test_all_problems_are_told_with_their_lines(tmp_path):
    text = (
        b"a cat\nR\xe9sum\xe9\nnul \0 here\n" + b"x" * (10 << 20) + b"\na dog:2%\nfine\nmac\rends\n"
    )
    found = problems(written(tmp_path, "l.txt", text))
    assert [line for line, _ in found] == [2, 3, 4, 5, 7]
    for (_, why), word in zip(found, ["0xE9", "NUL", "1 MiB", "no", "carriage"], strict=True):
        assert word in why


def test_problems_of_csv(tmp_path):
    text = (
        "prompt,seed,id\na cat,1,x\na dog, asleep,2,y\nan owl,many,z\n,5,w\n"
        'a cow,3,x\n"a "bad" quote",1,v\n'
    )
    found = dict(problems(written(tmp_path, "l.csv", text)))
    assert sorted(found) == [3, 4, 5, 6, 7]
    assert "quotes" in found[3]
    assert found[4].startswith("seed:")
    assert "no prompt" in found[5]
    assert found[6] == "the id of line 2 again"
    assert "CSV" in found[7]


@pytest.mark.parametrize(
    ("header", "word"),
    [("prompt,colour", "'colour'"), ("text,seed", "no column 'prompt'"), ("prompt;seed", "commas"),
     ("prompt,prompt", "twice"), ("prompt,out", "one folder for the whole list")],
)  # fmt: skip
def test_headers_that_can_not_be(tmp_path, header, word):
    found = problems(written(tmp_path, "l.csv", f"{header}\na,b\n"))
    assert any(line == 1 and word in why for line, why in found)


@pytest.mark.slow
def test_a_quote_that_is_never_closed_is_one_problem(tmp_path):
    text = 'prompt\n"a cat\n' + "more\n" * 100_000
    ((line, why),) = problems(written(tmp_path, "l.csv", text))[:1]
    assert line == 2
    assert "CSV" in why


@pytest.mark.parametrize(
    ("line", "word"),
    [("{", "no JSON"), ("[1]", "not an object"), ('{"prompt": 5}', "prompt"),
     ('{"prompt": "a", "prompt": "b"}', "twice"), ('{"prompt": "a", "lr": NaN}', "NaN"),
     ('{"seed": 1}', "no prompt"), ('{"prompt": "a", "speed": 1}', "'speed'"),
     ('{"prompt": "a", "out": "x"}', "one folder"), ('{"prompt": "a", "steps": -1}', "steps"),
     ('{"prompt": "a", "seed": 1' + "0" * 5000 + "}", ""), ("[" * 100_000, "")],
)  # fmt: skip
def test_problems_of_jsonl(tmp_path, line, word):
    path = written(tmp_path, "l.jsonl", '{"prompt": "fine"}\n' + line + "\n")
    ((number, why),) = problems(path)
    assert number == 2
    assert word in why


def test_fifty_problems_are_shown_and_the_rest_counted(tmp_path):
    with pytest.raises(PromptListError, match="and 119 more") as caught:
        read(written(tmp_path, "l.jsonl", "[]\n" * 120))
    assert len(caught.value.problems) == 50
    assert caught.value.total == 120


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [("l.toml", "[[job]", "no TOML"), ("l.toml", "seed = 1", r"no \[\[job\]\]"),
     ("l.toml", "colour = 1\n[[job]]\nprompt = 'a'", "'colour'"),
     ("l.toml", b"a = 1\nb = '\xe9'", "l.toml:2: not UTF-8"), ("l.txt", "# only\n", "no prompt"),
     ("l.txt", "", "no prompt"), ("l.md", "a cat", "no prompt list"),
     ("l.txt", b"\xff\xfea\0", "UTF-16")],
)  # fmt: skip
def test_files_that_are_no_lists(tmp_path, name, text, word):
    with pytest.raises(ConfigError, match=word):
        read(written(tmp_path, name, text))


def test_paths_that_are_no_files(tmp_path):
    (tmp_path / "folder.txt").mkdir()
    for name in ["none.txt", "folder.txt"]:
        with pytest.raises(ConfigError, match=name):
            PromptList(tmp_path / name)


def test_a_flag_that_is_wrong_is_no_problem_of_a_line(tmp_path):
    with pytest.raises(ConfigError, match="steps"):
        PromptList(written(tmp_path, "l.txt", "a cat"), {"steps": -1})


def test_settings_are_checked_once_for_all_lines_that_share_them(tmp_path):
    text = "prompt,size\na,\nb,\nc,64\nd,64\ne,32\n"
    asked = []

    def also(config):
        asked.append(config.size)
        if config.size == "64":
            raise ConfigError("64 is no good")

    jobs = PromptList(written(tmp_path, "l.csv", text))
    with pytest.raises(PromptListError) as caught:
        jobs.check(also)
    assert asked == [None, "64", "32"]
    assert [line for line, _ in caught.value.problems] == [4, 5]


def test_a_picture_asked_for_twice_is_one_job(tmp_path):
    path = written(tmp_path, "l.jsonl", '{"prompt": "a"}\n{"prompt": "b"}\n{"prompt":"a","seed":1}')
    jobs = PromptList(path, count=2)
    jobs.check()
    assert jobs.total == 6
    assert [job.number for job in jobs.jobs()] == [0, 1, 2, 3, 5]
    for job in jobs.jobs():
        assert jobs.number_of(job.key) == job.number
    assert jobs.number_of(12345) is None


def test_a_list_that_changes_meanwhile_is_refused(tmp_path):
    path = written(tmp_path, "l.txt", "a\nb\n")
    jobs = PromptList(path)
    jobs.check()
    found = jobs.jobs()
    next(found)
    path.write_text("a\nb\nc\n")
    with pytest.raises(ConfigError, match="changed"):
        list(found)


def test_every_setting_of_a_config_survives_a_jsonl_line(tmp_path):
    config = make_config(
        {"prompt": "a|b:0.5", "seed": 2**63 - 1, "negative": ["x", "y"], "ema": 0.5}
    )
    line = config.model_dump_json(exclude={"out"})
    (job,) = read(written(tmp_path, "l.jsonl", line))
    assert job.config == config


@pytest.mark.slow
def test_memory_does_not_grow_with_the_lines(tmp_path):
    def peak(lines):
        path = tmp_path / f"{lines}.jsonl"
        with path.open("w") as file:
            for n in range(lines):
                file.write(json.dumps({"prompt": f"thing number {n} " + "x" * 200, "id": n}) + "\n")
        tracemalloc.start()
        jobs = PromptList(path)
        jobs.check()
        assert sum(1 for _ in jobs.jobs()) == lines
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(10)
    # keys, ids, line numbers and their order; a line itself has 230 bytes
    assert peak(6000) - peak(1000) < 5000 * 120


@pytest.mark.parametrize(
    ("name", "near"),
    [("sizee", "size"), ("Prompt", "prompt"), ("Init Image", "init_image"), ("--seed", "seed")],
)
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_misspelt_setting_gets_the_near_one(tmp_path, name, near, suffix):
    text = f"{name},prompt\n1,a\n" if suffix == "csv" else json.dumps({name: "1", "prompt": "a"})
    text = text.replace("Prompt,prompt", "Prompt,seed") if suffix == "csv" else text
    found = problems(written(tmp_path, f"l.{suffix}", text))
    assert any(f"did you mean {near}?" in problem for _, problem in found)


def test_a_bad_header_does_not_hide_the_rows(tmp_path):
    found = problems(
        written(tmp_path, "l.csv", "promt,sizee,seed\na,64,x\nb,7,1\nc,64,1\nd,1,1,1\n")
    )
    assert [line for line, _ in found] == [1, 1, 2, 3, 5]
    assert "seed" in found[2][1]
    assert "size" in found[3][1]


def test_without_a_prompt_column_the_other_columns_are_checked(tmp_path):
    found = problems(written(tmp_path, "l.csv", "text,seed\na,1\nb,x\n"))
    assert [line for line, _ in found] == [1, 1, 3]


def test_a_line_that_asks_for_millions_is_never_held_in_memory(tmp_path):
    path = tmp_path / "one.txt"
    path.write_text("a cat\n")
    jobs = PromptList(path, count=5_000_000)
    tracemalloc.start()
    try:
        first = list(islice(jobs._jobs(Problems(), None), 1000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [job.config.seed for job in first] == list(range(1000))
    assert peak < 20e6
