"""The command that trains a predictor, for several generators and a tiny CLIP."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from guidegen.config import make_config
from guidegen.engine.generate import generate
from guidegen.errors import ConfigError, UnknownNameError
from guidegen.guidance.starts.predictor import Predictor, read_card
from guidegen.training.predictor import run
from guidegen.training.predictor.trainer import PredictorConfig
from tests.helpers.tiny_clip import make_tiny_clip

CONFIG = PredictorConfig(steps=2, texts=2, among=4, picture_size=8, save_every=1)


@pytest.fixture
def wanted(tmp_path):
    clip = f"local-dir:{make_tiny_clip(tmp_path / 'clip')}"
    return run.Wanted(
        generator="pyramid", option=(), size=32, perceptor=clip, finest=16, width=16, channels=16,
        noise=4,
    )  # fmt: skip


def train(shapes, folder, wanted, **fields):
    settings = {"pictures": True, "texts": 8, "config": CONFIG, "evaluate_every": 1, **fields}
    return run.run(
        shapes, folder / "out", wanted=wanted, state_file=folder / "state", seed=0, device="cpu",
        **settings,
    )  # fmt: skip


@pytest.mark.slow
def test_what_the_command_writes_is_what_a_run_starts_from(shapes, tmp_path, wanted):
    scores = train(shapes, tmp_path, wanted)
    lines = (tmp_path / "out" / "curves.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2]
    assert {"clip", "picture", "val-cosine", "val_concept-top5"} <= set(json.loads(lines[1]))
    assert {score.split for score in scores} == {"val", "val_concept"}
    assert read_card(tmp_path / "out").predicted == tuple(f"layer-{n}" for n in (1, 2, 4, 8, 16))
    configs = [
        make_config(
            {
                "prompt": "red circle", "generator": "pyramid", "size": size, "steps": 0,
                "perceptor": (wanted.perceptor,), "cutouts": 1,
                "start_from": f"predicted:{tmp_path / 'out'}",
            }
        )
        for size in ("32", "96x64")
    ]  # fmt: skip
    pictures = [picture.image for picture in generate(configs, write=False)]
    small, wide = (np.asarray(picture).astype(int) for picture in pictures)
    shrunk = np.asarray(pictures[1].crop((16, 0, 80, 64)).resize((32, 32))).astype(int)
    assert abs(shrunk - small).mean() < 4
    assert wide.shape == (64, 96, 3)


@pytest.mark.slow
def test_a_finished_training_is_scored_again_and_not_trained(shapes, tmp_path, wanted):
    first = train(shapes, tmp_path, wanted)
    before = (tmp_path / "out" / "model.safetensors").read_bytes()
    assert train(shapes, tmp_path, wanted) == first
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("generator", "pictures", "predicted"),
    [("vqgan/embedded", True, {"z"}), ("lines", False, {"place", "width", "colour"})],
)
def test_any_generator_will_do(shapes, tmp_path, wanted, generator, pictures, predicted):
    train(
        shapes, tmp_path, replace(wanted, generator=generator, size=64), pictures=pictures,
        config=replace(CONFIG, steps=1),
    )  # fmt: skip
    assert set(read_card(tmp_path / "out").predicted) == predicted


@pytest.mark.parametrize(
    ("change", "pictures", "error", "why"),
    [
        ({"generator": "lines"}, True, ConfigError, "lines can't encode drawings"),
        ({"generator": "nothing"}, False, UnknownNameError, "no generator is called"),
        ({"size": 8}, False, ConfigError, "32 to 2048 pixels a side"),
        ({"generator": "pixels", "finest": 8}, False, ConfigError, "raise --finest"),
    ],
)
def test_what_can_not_be_is_refused_before_any_training(
    shapes, tmp_path, wanted, change, pictures, error, why
):
    with pytest.raises(error, match=why) as caught:
        train(shapes, tmp_path, replace(wanted, **change), pictures=pictures)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_training_begins_with_the_weights_of_another(shapes, tmp_path, wanted):
    train(shapes, tmp_path, wanted)
    begun = tmp_path / "begun"
    still = replace(CONFIG, steps=1, lr=0.0)
    train(shapes, begun, wanted, begin=tmp_path / "out", config=still)
    first, second = (Predictor.load(folder / "out").network for folder in (tmp_path, begun))
    for ours, theirs in zip(second.parameters(), first.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.slow
def test_one_of_another_shape_is_no_beginning(shapes, tmp_path, wanted):
    train(shapes, tmp_path, wanted)
    with pytest.raises(ConfigError, match="differs from the training in its network") as caught:
        train(shapes, tmp_path / "b", replace(wanted, width=8), begin=tmp_path / "out")
    assert caught.value.field == "begin"
