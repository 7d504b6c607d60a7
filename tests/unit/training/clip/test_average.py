"""The mean of two trainings of one model."""

import pytest
import torch

from guidegen.errors import WeightsError
from guidegen.training.clip import model as clip


def test_each_weight_is_the_mean_of_both(tmp_path):
    states = [{"visual.a": torch.full((2,), x), "n": torch.tensor(3)} for x in (0.25, 0.75)]
    for name, state in zip("ab", states, strict=True):
        clip.save_model(state, tmp_path / name)
    clip.average_towers(tmp_path / "a", tmp_path / "b", tmp_path / "mean")
    mean = clip.load_file(tmp_path / "mean" / clip.WEIGHTS)
    assert mean["visual.a"].tolist() == [0.5, 0.5]
    assert mean["n"].item() == 3


def test_models_of_different_kinds_have_none(tmp_path):
    clip.save_model({"a": torch.zeros(2)}, tmp_path / "a")
    clip.save_model({"a": torch.zeros(3)}, tmp_path / "b")
    with pytest.raises(WeightsError, match="different kinds"):
        clip.average_towers(tmp_path / "a", tmp_path / "b", tmp_path / "mean")
    with pytest.raises(WeightsError, match="whole models"):
        clip.average_towers(tmp_path / "a", tmp_path / "none", tmp_path / "mean")
