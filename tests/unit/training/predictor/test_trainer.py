"""Training of a small predictor whose CLIP sees colours."""

import pytest
import torch

from generators import PYRAMID
from guidegen.guidance.starts.predictor import NetworkSizes, PredictorNetwork, shapes_of
from guidegen.training.predictor.texts import Drawings, Told
from guidegen.training.predictor.trainer import PredictorConfig, PredictorTrainer, alike
from tests.helpers.fakes import TinyPerceptor

COLOURS = ("0.9,0.1,0.1", "0.1,0.9,0.1", "0.1,0.1,0.9", "0.9,0.9,0.1")
SMALL = {
    "texts": 4, "samples": 2, "among": 8, "picture_size": 8, "ema": 0.5, "text_noise": 0.02,
    "save_every": 2, "lr": 3e-3, "diversity": 0.1, "apart": 0.05,
}  # fmt: skip


def trainer(state, *, drawings=None, seed=0, **fields):
    perceptor = TinyPerceptor()
    told = [Told(text, i, -1, False, -1, 0) for i, text in enumerate(COLOURS)]
    embeddings = perceptor.encode_text(COLOURS)
    generator = PYRAMID.load("", size=(32, 32), device="cpu")
    shapes = {n: s for n, s in shapes_of(generator).items() if max(s[1:]) <= 4}
    starts = generator.init(3, rngs=[torch.Generator().manual_seed(k) for k in range(3)])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = PredictorNetwork(NetworkSizes(embedding=12, noise=4, width=32), shapes)
    network.calibrate(embeddings, starts)
    return PredictorTrainer(
        network, generator, starts, perceptor, embeddings, told,
        PredictorConfig(**{**SMALL, **fields}), drawings=drawings, state_file=state, seed=seed,
    )  # fmt: skip


def nearest(ours):
    """Which text the picture of each is nearest to."""
    noise = torch.zeros(4, 4)
    with torch.no_grad():
        latents = ours.generator.init(4, rngs=[torch.Generator().manual_seed(0)] * 4)
        latents |= ours.average.module.eval()(ours.embeddings, noise)
        seen = ours.perceptor.encode_image(ours.generator.decode(latents, size=(16, 16)))
        return (seen @ ours.embeddings.T).argmax(1).tolist()


@pytest.mark.slow
def test_texts_alone_teach_what_to_draw(tmp_path):
    ours = trainer(tmp_path / "s", steps=30)
    assert nearest(ours) != [0, 1, 2, 3]
    losses = list(ours.run())
    assert set(losses[0]) == {"clip", "choice", "prior", "diversity"}
    assert losses[-1]["clip"] < 0.5 * losses[0]["clip"]
    assert nearest(ours) == [0, 1, 2, 3]


def squares():
    """One opaque square of its own colour for each text, on transparency."""
    import numpy as np

    cutouts = np.zeros((4, 16, 16, 4), np.uint8)
    for number, text in enumerate(COLOURS):
        cutouts[number, 3:13, 3:13, :3] = [255 * float(part) for part in text.split(",")]
        cutouts[number, 3:13, 3:13, 3] = 255
    return cutouts


@pytest.mark.slow
def test_drawings_teach_place(tmp_path):
    drawings = Drawings(squares(), 8)
    ours = trainer(tmp_path / "s", steps=40, picture=30.0, drawings=drawings)
    losses = list(ours.run())
    assert set(losses[0]) == {"prior", "diversity", "picture", "clip", "choice"}
    assert losses[-1]["picture"] < 0.5 * losses[0]["picture"]
    with torch.no_grad():
        latents = {**ours.starts, **ours.network(ours.embeddings[:3], torch.zeros(3, 4))}
        picture = ours.generator.decode(latents)[0]
    middle, corner = picture[:, 12:20, 12:20].mean((1, 2)), picture[:, :3, :3].mean((1, 2))
    assert corner.min() > middle[1:].max()  # paper around, and a red thing in the middle
    assert middle[0] > middle[1:].max() + 0.1


@pytest.mark.slow
def test_resumed_equals_uninterrupted(tmp_path):
    drawings = Drawings(squares(), 8)
    whole = trainer(tmp_path / "whole", steps=4, drawings=drawings)
    list(whole.run())
    killed = trainer(tmp_path / "killed", steps=4, drawings=drawings)
    run = killed.run()
    for _ in range(3):  # dies one step after the checkpoint of step 2
        next(run)
    resumed = trainer(tmp_path / "killed", steps=4, drawings=drawings)
    assert resumed.step == 2
    list(resumed.run())
    theirs = resumed.average.module.state_dict()
    for name, value in whole.average.module.state_dict().items():
        assert torch.equal(value, theirs[name]), name


def test_pictures_of_one_text_are_held_apart_as_far_as_is_wanted():
    pictures = torch.zeros(2, 2, 9)
    pictures[1, 1] = 0.06
    pictures.requires_grad_()
    loss = alike(pictures, 0.1)
    assert float(loss.detach()) == pytest.approx((0.1 + 0.04) / 2, abs=1e-3)
    loss.backward()
    assert (pictures.grad[1, 1] < 0).all()
    assert float(alike(pictures.detach() + torch.tensor([[[0.0], [0.5]]]), 0.1)) == 0
