"""What two runs of one picture have in common, on any processor; see docs/equality.md.

The first steps are compared, by plain gradient descent: there a difference in rounding stays one,
while Adam's first steps are signs and any 60 steps through CLIP are chaotic. A neighbour's latents,
views or gradient in the wrong place would change a whole step.
"""

import numpy as np
import pytest
import torch

from guidegen.config import make_config
from guidegen.engine import generate as engine

SETTINGS = {
    "generator": "fourier", "steps": 2, "starts": 1, "size": "32", "cutouts": 2,
    "precision": "fp32", "generator_precision": "fp32", "optimizer": "sgd", "lr": 0.5,
}  # fmt: skip
# of the way that the latents went
ROUNDING = 0.05


class Watch:
    """Keeps what every step was."""

    def __init__(self):
        self.steps = []

    def __call__(self, step):
        self.steps.append(step)

    def close(self):
        pass


def config(prompt="a cat on a red car", seed=5, **fields):
    return make_config({"prompt": prompt, "seed": seed, **SETTINGS, **fields})


def steps(*configs):
    """The pictures' last pixels, and all steps."""
    watch = Watch()
    pictures = list(engine.generate(configs, recorders=lambda _: [watch], write=False))
    return [np.asarray(picture.image) for picture in pictures], watch.steps


def same_within_rounding(one, other, row=0):
    """Starts equal to the bit, losses and ends as near as rounding lets them be."""
    for name, start in one[0].latents.items():
        assert torch.equal(start[0], other[0].latents[name][row]), name
    for a, b in zip(one, other, strict=True):
        assert float(a.losses["total"][0]) == pytest.approx(float(b.losses["total"][row]), abs=1e-3)
    gone = apart = 0.0
    for name, start in one[0].latents.items():
        end, others_end = one[-1].latents[name][0], other[-1].latents[name][row]
        gone += float((end - start[0]).square().sum())
        apart += float((end - others_end).square().sum())
    assert gone > 0
    assert apart < ROUNDING**2 * gone


def test_the_same_picture_twice_has_the_same_pixels():
    (one,), _ = steps(config(optimizer="adam", lr=0.05))
    (two,), _ = steps(config(optimizer="adam", lr=0.05))
    assert np.array_equal(one, two)


@pytest.mark.slow
def test_a_picture_among_others_is_the_picture_alone():
    wanted = config()
    others = [config(word, i) for i, word in enumerate(["fire", "a ship"])]
    _, alone = steps(wanted)
    _, together = steps(others[0], wanted, others[1])
    same_within_rounding(alone, together, row=1)
    # the others are no copies of it
    assert abs(float(together[0].losses["total"][0] - together[0].losses["total"][1])) > 1e-3


def test_the_number_of_threads_changes_rounding_only():
    found, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(steps(config(steps=1))[1])
    finally:
        torch.set_num_threads(before)
    same_within_rounding(*found)


@pytest.mark.slow
def test_the_cutout_micro_batch_changes_rounding_only():
    _, small = steps(config(cutout_batch=1))
    _, whole = steps(config(cutout_batch=32))
    same_within_rounding(small, whole)
