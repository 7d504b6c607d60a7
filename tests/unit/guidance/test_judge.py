"""A CLIP that only looks."""

import json

import pytest
import torch

from guidegen.config import make_config
from guidegen.engine.generate import generate
from guidegen.engine.resolve import check, resolve
from guidegen.errors import GuidegenError
from guidegen.guidance.judge import Judge, judged
from guidegen.interfaces import LoopState, OptimizerState, Step, Target
from tests.helpers.loops import steps_of
from tests.helpers.tiny_clip import make_tiny_clip


class Sees:
    """A perceptor whose cosine with every text is the picture's first number."""

    name = "sees"

    def encode_image(self, images):
        x = images[:, 0, 0, 0]
        return torch.stack([x, (1 - x.square()).sqrt()], 1)


def run(values, *, every=1, resume=None, first=0):
    """Steps of two candidates whose pictures have these numbers, judged."""

    def steps():
        for index, row in list(enumerate(values))[first:]:
            images = torch.tensor(row).view(2, 1, 1, 1)
            state = LoopState(index, {}, torch.zeros(2, 1), OptimizerState({}, {}))
            yield Step(
                index, len(values) - 1, {"z": images.clone()}, images, {}, 0.1,
                snapshot=lambda state=state: state,
            )  # fmt: skip

    one = torch.ones(1)
    target = Target(torch.tensor([[1.0, 0.0]]), one, -one)
    judge = Judge(Sees(), [target, target], [1, 1])
    return list(judged(steps(), judge, every=every, resume=resume))


VALUES = [[0.1, 0.5], [0.4, 0.4], [0.3, 0.6], [0.2, 0.1], [0.25, 0.2]]


def test_it_keeps_each_candidates_best_and_counts_the_looks_since_then():
    last = run(VALUES)[-1]
    assert last.judged.score.tolist() == pytest.approx([0.4, 0.6])
    assert last.judged.latents["z"].flatten().tolist() == pytest.approx([0.4, 0.6])
    assert last.judged.worse.tolist() == [3, 2]
    assert last.scores["judge sees"].tolist() == pytest.approx([0.25, 0.2])


def test_it_looks_every_so_often_and_at_the_last_step():
    looked = [bool(step.scores) for step in run(VALUES, every=3)]
    assert looked == [True, False, False, True, True]


def test_a_run_that_goes_on_knows_what_was_seen():
    whole = run(VALUES)
    state = whole[2].snapshot()
    rest = run(VALUES, resume=state, first=2)
    assert rest[0].judged == state.judged
    assert rest[0].scores.keys() == whole[2].scores.keys()
    for name in ("score", "worse"):
        assert torch.equal(getattr(rest[-1].judged, name), getattr(whole[-1].judged, name))


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    return [f"local-dir:{make_tiny_clip(folder / str(seed), seed=seed)}" for seed in (0, 1)]


def config(clips, **settings):
    guide, judge = clips
    fields = {"prompt": "a cat", "perceptor": guide, "judge": judge, "generator": "pixels"}
    fields |= {"size": 32, "steps": 6, "cutouts": 2, "judge_every": 2}
    return make_config({**fields, **settings})


@pytest.mark.slow
def test_its_score_is_in_the_record_and_does_not_guide(clips, tmp_path):
    with_judge = config(clips, out=tmp_path / "a")
    (picture,) = generate([with_judge])
    (plain,) = generate([config(clips, judge=None)], write=False)
    assert picture.image.tobytes() == plain.image.tobytes()
    name = f"judge {clips[1]}"
    assert picture.scores[name] == pytest.approx(picture.run.scores[name])
    lines = (picture.run.path / "steps.jsonl").read_text().splitlines()
    scores = [json.loads(line).get("scores", {}) for line in lines]
    assert [name in score for score in scores] == [True, False] * 3 + [True]
    assert scores[-1][name] == pytest.approx(picture.scores[name], abs=2e-3)


def test_a_run_ends_with_what_the_judge_liked_best(clips, tmp_path):
    impatient = config(clips, steps=40, judge_every=1, patience=2, lr=0.3, out=tmp_path / "b")
    (picture,) = generate([impatient])
    lines = (picture.run.path / "steps.jsonl").read_text().splitlines()
    scores = [json.loads(line)["scores"][f"judge {clips[1]}"] for line in lines]
    assert picture.ended == "judged"
    assert len(scores) < 40
    assert max(scores) == scores[-3]
    assert picture.scores[f"judge {clips[1]}"] == pytest.approx(max(scores), abs=2e-3)
    (again,) = generate([impatient])
    assert again.reused


@pytest.mark.slow
def test_it_judges_a_picture_that_has_no_words_too(clips):
    (picture,) = generate([config(clips, prompt="", noise_prompt="7:1")], write=False)
    assert -1 <= picture.scores[f"judge {clips[1]}"] <= 1


def test_its_state_is_saved_and_read(clips, tmp_path):
    resolved = resolve(config(clips, steps=3, judge_every=1))
    steps = steps_of(resolved)
    from guidegen.runs.snapshots import newest_state, write_state

    states = {}
    for last in steps():
        states[last.index] = last.snapshot()

    def write(name, data):
        return (tmp_path / name).write_bytes(data)

    write_state(tmp_path, write, states[2], 0, device="cpu")
    again = list(steps(newest_state(tmp_path, device="cpu")))[-1]
    assert torch.equal(again.judged.score, last.judged.score)
    assert torch.equal(again.judged.latents["pixels"], last.judged.latents["pixels"])
    assert torch.equal(again.images, last.images)


@pytest.mark.parametrize(
    ("settings", "field", "says"),
    [
        ({"judge": None, "patience": 2}, "patience", "it is a judge's"),
        ({"judge": "embeded"}, "judge", "embeded"),
        ({"perceptor": "embedded", "judge": "embedded"}, "judge", "guides already"),
    ],
)
def test_what_can_not_judge_is_refused(clips, settings, field, says):
    with pytest.raises(GuidegenError, match=says) as caught:
        check([config(clips, **settings)])
    assert caught.value.field == field
