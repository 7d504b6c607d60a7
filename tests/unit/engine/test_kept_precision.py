"""A run tells what it computed in, and goes on in it."""

import json

import pytest

from guidegen.config import make_config
from guidegen.engine import generate as engine
from guidegen.errors import RunInterruptedError


class Impatient:
    def __call__(self, step):
        if step.index == 2:
            raise KeyboardInterrupt

    def close(self):
        pass


@pytest.mark.slow
def test_a_run_goes_on_in_the_precision_that_it_began_with(tmp_path):
    config = make_config(
        {
            "prompt": "a cat", "out": tmp_path, "generator": "pixels", "size": "32", "cutouts": 1,
            "starts": 1, "steps": 3, "save_every": 1,
        }
    )  # fmt: skip
    with pytest.raises(RunInterruptedError):
        list(engine.generate([config], recorders=lambda _: [Impatient()]))
    (path,) = tmp_path.glob("*/run.json")
    data = json.loads(path.read_text())
    assert set(data["precision"]) == {"embedded"}
    other = (
        "bf16 channels-last" if "fp32" in data["precision"]["embedded"] else "fp32 channels-last"
    )
    path.write_text(json.dumps({**data, "precision": {"embedded": other}}))
    (picture,) = engine.generate([config])
    assert picture.run.resumed_at
    assert json.loads(path.read_text())["precision"] == {"embedded": other}
