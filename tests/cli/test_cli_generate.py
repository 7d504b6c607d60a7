"""`guidegen generate`: flags, TOML, seeds, output, errors."""

import json
import logging
import random
import shlex
import tomllib
from pathlib import Path

import pytest

from guidegen.cli.generate import plan
from guidegen.config import RunConfig, make_config
from guidegen.engine.defaults import fill
from guidegen.errors import (
    ConfigError,
    OptimizationError,
    PromptSyntaxError,
    RunInterruptedError,
    WeightsError,
)
from guidegen.runs import metadata

FLAGS = [
    "--negative=blur", "--negative", "-x", "--template", "a photo of {}", "-g", "fourier",
    "--option", "a=1", "--option=b=2", "--preset", "vqgan-clip", "--negative-weight", "0.75",
    "--image-prompt", "photo 1.png:0.5", "--image-prompt=-x.png", "--noise-prompt", "7:0.1",
    "--cutout-method", "big-sleep", "--cutout-noise", "0.25", "--cutout-whole", "0.25",
    "--cutout-scale", "0.4,0.8", "--cutout-shift", "0.1", "--start-from", "collage",
    "--lr-end", "0.5", "--prior", "0.5",
    "--init-weight", "0.25", "--zoom", "1.1", "--shift=-0.1,0", "--rotate=-3", "--move-every", "5",
    "--save-every", "7", "--trajectory", "9", "--loss", "tv=0.5", "--upscale", "2",
    "--loss-option", "tv.a=b", "--pick", "3", "--mix", "2",
    "--latent-noise", "0.1", "--evolve", "2", "--evolve-steps", "1", "--population", "6",
    "--lr-warmup", "0.1",
    "--cutout-scale-end", "0.2,0.3", "--coarse-to-fine", "2", "--judge", "RN50/openai",
    "--judge-every", "4", "--patience", "2", "--init-run", "outputs/a run@7",
    "--region", "a cat=left", "--region=a dog=0.5,0,1,1:2", "--mask", "m.png",
    "--palette", "red,blue", "--outpaint=1,2,3,4",
    "--generator-precision", "bf16", "--video", "--no-preview", "--minutes", "2.5",
    "--until-loss=-0.5",
    "--perceptor", "RN50/openai@0.5", "--perceptor", "embedded", "--seed", "7", "--steps", "3",
    "--cutouts", "5", "--cutout-batch", "4", "--starts", "2", "--size", "64x48", "--lr", "1e-3",
    "--optimizer", "sgd", "--distance", "cosine", "--ema", "0.5", "--init-image", "in it.png",
    "--device", "cpu", "--precision", "fp32", "-o", "else where", "--no-metadata",
]  # fmt: skip


def test_every_field_has_a_flag_and_all_round_trip(run, tmp_path):
    printed = run("a fox:1.5 | 雪", *[f if f != "-x" else "x" for f in FLAGS], "--print-config")
    assert printed.code == 0, printed.err
    given = tomllib.loads(printed.out)
    assert set(given) == set(RunConfig.model_fields)
    assert all(
        given[name] != json.loads(json.dumps(field.get_default()))
        for name, field in RunConfig.model_fields.items()
        if name not in ("prompt", "negative", "perceptor", "init_image", "out")
    )
    (tmp_path / "c.toml").write_text(printed.out, encoding="utf-8")
    again = run("--config", "c.toml", "--print-config")
    assert again.out == printed.out
    config = make_config(given)
    words = shlex.split(metadata.command(config))
    remade = run(*words[1:], "--print-config")
    assert remade.out == printed.out
    assert make_config(json.loads(config.model_dump_json())) == config


@pytest.mark.slow
def test_any_config_comes_back_from_its_command(run):
    rng = random.Random(5)
    texts = ["-x", "--", "show", "a b", "it's", '"q"', "$HOME", "*", "苹果", "a;b", "[a]"]
    for _ in range(30):
        config = make_config(
            {
                "prompt": rng.choice(texts),
                "negative": rng.sample(texts, rng.randint(0, 3)),
                "seed": rng.randint(1, 2**63 - 1),
                "steps": rng.choice([None, 0, 5]),
                "ema": rng.choice([0.0, 0.5]),
                "size": rng.choice([None, "64", "96x64"]),
                "template": rng.choice(["", "-{}", "imagenet"]),
                "metadata": rng.choice([True, False]),
            }
        )
        words = shlex.split(metadata.command(config))
        printed = run("generate", "--print-config", *words[2:])
        assert printed.code == 0, printed.err
        wanted = fill(config)
        assert make_config(tomllib.loads(printed.out)) == wanted


def test_a_flag_goes_before_toml_before_the_default(run, tmp_path):
    (tmp_path / "c.toml").write_text('prompt = "from toml"\nsteps = 9\nlr = 0.5\nseed = 3\n')
    told = tomllib.loads(run("--config", "c.toml", "--steps", "2", "--print-config").out)
    assert (told["prompt"], told["steps"], told["lr"], told["ema"]) == ("from toml", 2, 0.5, 0.0)
    told = tomllib.loads(run("mine", "--config", "c.toml", "--print-config").out)
    assert told["prompt"] == "mine"


@pytest.mark.parametrize("command", [[], ["generate"]])
def test_stdout_gets_the_paths_and_nothing_else(run, engine, command):
    result = run(*command, "a red apple", "--seed", 7, "-n", 2)
    assert result.code == 0, result.err
    paths = [Path(line) for line in result.out.splitlines()]
    assert [path.parent.name[:14] for path in paths] == ["a-red-apple-7-", "a-red-apple-8-"]
    assert all(metadata.read(path).config.prompt == "a red apple" for path in paths)
    assert "seed 7, similarity 0.250" in result.err


def test_each_prompt_gets_each_seed(run, engine):
    run("a b", "c d", "--seed", 5, "-n", 3)
    (call,) = engine.calls
    assert [(c.prompt, c.seed) for c in call["configs"]] == [
        (prompt, seed) for prompt in ("a b", "c d") for seed in (5, 6, 7)
    ]


def test_the_same_prompt_twice_is_one_picture(run, engine):
    assert len(run("a b", "a b", "--seed", 5).out.splitlines()) == 1


def test_the_last_of_a_flag_counts(run):
    told = run("a", "--steps", 3, "--steps", 4, "--negative", "b", "--negative", "c",
               "--seed", 1, "--print-config").out  # fmt: skip
    assert tomllib.loads(told)["steps"] == 4
    assert tomllib.loads(told)["negative"] == ["b", "c"]


def test_a_seed_is_drawn_and_told(run, engine):
    result = run("a b", "--seed", -1)
    seed = engine.calls[0]["configs"][0].seed
    assert f"--seed {seed}" in result.err
    assert run("a b", "--quiet", "--seed", -1).err == ""
    assert engine.calls[1]["configs"][0].seed != seed
    assert "at random" not in run("a b", "--seed", 3).err


def test_without_a_seed_the_same_command_makes_the_same_picture(run, engine):
    run("a b")
    run("a b", "--force")
    assert [call["configs"][0].seed for call in engine.calls] == [0, 0]


def test_a_finished_run_is_found_again_and_force_makes_it_again(run, engine):
    first = run("a b", "--seed", 1)
    again = run("a b", "--seed", 1)
    assert again.out == first.out
    assert "made earlier" in again.err
    assert "made earlier" not in run("a b", "--seed", 1, "--force").err
    assert engine.calls[-1]["force"] is True


def test_out_as_a_picture(run, engine, tmp_path):
    assert run("a b", "--seed", 1, "-o", "x.png").out == "x.png\n"
    assert run("a b", "--seed", 1, "-o", "x.png").out == "x.png\n"
    assert run("a b", "--seed", 2, "-o", "x.png").out == "x-2.png\n"
    assert metadata.read(Path("x.png")).config.seed == 1
    assert run("a b", "--seed", 2, "-o", "x.png", "--force").out == "x.png\n"
    assert run("a b", "--seed", 1, "-n", 2, "-o", "x.png").out == "x-1.png\nx-2.png\n"
    (tmp_path / "mine.png").write_text("not guidegen's")
    assert run("a b", "--seed", 1, "-o", "mine.png").out == "mine-2.png\n"
    assert (tmp_path / "mine.png").read_text() == "not guidegen's"
    assert len(list((tmp_path / "outputs").iterdir())) == 2


def test_a_large_run_folder_is_told(run, engine):
    folder = Path(run("a b", "--seed", 1).out.strip()).parent
    assert "MB" not in run("a b", "--seed", 1).err
    (folder / "trajectory.safetensors").write_bytes(bytes(7_000_000))
    assert "7 MB in its folder" in run("a b", "--seed", 1).err


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([""], 3, "empty"),
        (["  "], 3, "empty"),
        (["a:0.5x"], 3, "not a number"),
        (["a:-1"], 3, "only pushes away"),
        (["--seed", "3"], 2, "no prompt"),
        (["a", "--nope"], 2, "--nope"),
        (["a", "--seed"], 2, "--seed"),
        (["a", "--steps", "many"], 2, "--steps"),
        (["a", "--steps", "-1"], 2, "--steps"),
        (["a", "-n", "0"], 2, "--count"),
        (["a", "--seed", str(2**63 - 1), "-n", "2"], 2, "--seed"),
        (["a", "--size", "7"], 2, "--size"),
        (["a", "--size", "99999x99999"], 2, "--size"),
        (["a", "--optimizer", "lion"], 2, "lion"),
        (["a", "--device", "gpu"], 2, "--device"),
        (["a", "--config", "none.toml"], 2, "none.toml"),
        (["a b", "c d", "--print-config"], 2, "one prompt"),
        (["a", "--generator", "colage"], 4, "did you mean collage"),
        (["a", "--out", "/dev/null/x"], 6, "can't write"),
        (["a", "--out", "x.gif"], 6, "x.png"),
        (["show"], 2, "picture"),
        (["show", "none.png"], 7, "no picture"),
        (["show", "."], 7, "run.json"),
    ],
)
def test_bad_input_is_one_line_and_its_own_code(run, engine, words, code, says):
    result = run(*words)
    assert (result.code, result.out) == (code, "")
    assert result.err.startswith("guidegen: ")
    assert result.err.count("\n") == 1
    assert says.lower() in result.err.lower()
    assert engine.calls == []


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (WeightsError("broken\nfile"), 5, "broken file"),
        (OptimizationError("the loss is nan"), 8, "nan"),
        (RunInterruptedError("stopped; 1 picture is kept"), 130, "kept"),
        (KeyboardInterrupt(), 130, "1 of 2 pictures were finished and are kept"),
        (ZeroDivisionError("oh"), 70, "bug: ZeroDivisionError: oh"),
        (MemoryError(), 1, "out of memory"),
    ],
)
def test_an_error_at_work_keeps_what_is_finished(run, engine, error, code, says):
    def before(index):
        if index == 1:
            raise error

    engine.before = before
    result = run("a b", "--seed", 1, "-n", 2, "--quiet")
    assert result.code == code
    assert says in result.err
    assert result.err.count("\n") == 1
    (path,) = result.out.splitlines()
    assert metadata.read(Path(path)).config.seed == 1


def test_traceback_shows_the_rest(run, engine):
    engine.before = lambda index: 1 // 0
    result = run("a b", "--seed", 1, "--traceback")
    assert "Traceback" in result.err
    assert "ZeroDivisionError" in result.err.splitlines()[-1]
    assert result.code == 70


def test_a_prompt_may_look_like_a_flag_or_a_command(run, engine):
    assert run("generate", "--seed", 1, "--", "--traceback").code == 0
    assert run("generate", "show", "--seed", 1).code == 0
    assert [c["configs"][0].prompt for c in engine.calls] == ["--traceback", "show"]


def test_plan_refuses_before_it_draws():
    with pytest.raises(ConfigError, match="no prompt"):
        plan([], {}, count=1)


def test_json_gives_a_line_for_each_picture(run, engine):
    lines = run("a b", "--seed", 7, "-n", 2, "--json").out.splitlines()
    found = [json.loads(line) for line in lines]
    assert [data["seed"] for data in found] == [7, 8]
    assert all(Path(data["path"]).is_file() for data in found)
    assert found[0]["scores"] == {"similarity": 0.25}
    assert found[0]["config"]["prompt"] == "a b"
    assert json.loads(run("a b", "--seed", 7, "--json").out)["reused"] is True


def test_settings_come_from_a_picture_or_a_run(run, engine):
    path = run("a b", "--seed", 7, "--steps", 3, "--negative", "fog").out.strip()
    wanted = tomllib.loads(run("--config", path, "--print-config").out)
    assert (wanted["prompt"], wanted["seed"], wanted["steps"]) == ("a b", 7, 3)
    assert wanted["negative"] == ["fog"]
    folder = Path(path).parent
    assert tomllib.loads(run("--config", folder, "--print-config").out) == wanted
    assert tomllib.loads(run("c d", "--config", path, "--print-config").out)["prompt"] == "c d"


def test_print_config_leaves_no_default_open(run):
    told = tomllib.loads(run("a b", "-g", "fourier", "--print-config").out)
    assert {"steps", "size", "lr", "cutouts", "starts", "cutout_noise"} <= set(told)
    assert (told["steps"], told["size"], told["device"]) == (200, "384", "auto")


def test_what_a_prompt_can_not_say_here_is_told(run, engine):
    assert "write 'cat:1.3'" in run("a (cat:1.3) on a mat").err
    assert "mostly Cyrillic" in run("красное яблоко").err
    assert "mostly" not in run("красное яблоко", "-q").err


def test_verbose_shows_what_the_library_logs(run, engine):
    engine.before = lambda index: logging.getLogger("guidegen.x").info("chose this")
    assert "guidegen: chose this" in run("a b", "--verbose").err
    assert "chose this" not in run("a b").err


def test_more_pictures_than_can_be_planned_are_refused_at_once(run, engine):
    refused = run("a cat", "-n", "10000000")
    assert refused.code == 2
    assert "guidegen batch" in refused.err
    assert not engine.calls


def test_a_config_file_may_begin_with_a_byte_order_mark(run, engine, tmp_path):
    (tmp_path / "c.toml").write_bytes(b"\xef\xbb\xbfseed = 5\n")
    assert run("a cat", "--config", "c.toml").code == 0
    assert engine.calls[0]["configs"][0].seed == 5
    (tmp_path / "c.toml").write_text("seed = " + "[" * 100_000)
    refused = run("a cat", "--config", "c.toml")
    assert refused.code == 2
    assert "nested too deeply" in refused.err


@pytest.mark.slow
def test_a_prompt_of_a_million_letters_is_one_short_line(run, engine):
    refused = run("x" * 1_000_000)
    assert refused.code == 2
    assert "1,000,000 characters" in refused.err
    assert len(refused.err) < 500


def test_an_image_prompt_needs_no_words(tmp_path):
    settings = {"image_prompt": ("photo 1.png:0.5",), "out": tmp_path}
    (config,) = plan([], settings, count=1)
    assert (config.prompt, config.title) == ("", "like photo 1")
    assert shlex.split(metadata.command(config))[:4] == [
        "guidegen", "generate", "--image-prompt", "photo 1.png:0.5",
    ]  # fmt: skip
    with pytest.raises(PromptSyntaxError, match="empty"):
        plan([], {"image_prompt": ("photo.png:-1",)}, count=1)
