"""The sum of named, weighted terms."""

import pytest
import torch

from guidegen.backend import LossInfo
from guidegen.errors import GuidegenError, OptimizationError, UnknownNameError
from guidegen.guidance.losses.clip import ClipDistance
from guidegen.guidance.losses.distances import DISTANCES
from guidegen.guidance.losses.near_start import NearStart
from guidegen.guidance.losses.prior import GeneratorPrior
from guidegen.guidance.objective import Objective, Term, make_objective, total
from guidegen.interfaces import Decoded, Target, Viewed
from guidegen.prompt.loss_terms import LossTerm
from tests.helpers.fakes import TinyPerceptor
from tests.helpers.loops import make_loop

IMAGES = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
DECODED = Decoded(IMAGES, {"pixels": IMAGES}, range(2), 0.5)


class Mean:
    """The mean of each picture, or of each view's features."""

    def __init__(self, reads=("a", "b"), shape=None):
        self.reads, self.shape, self.calls = reads, shape, 0

    def image_loss(self, decoded):
        self.calls += 1
        return decoded.images.mean((1, 2, 3))

    def view_loss(self, viewed):
        self.calls += 1
        if viewed.perceptor.name not in self.reads:
            return None
        return viewed.features.mean(1) if self.shape is None else torch.zeros(self.shape)


class OfViews:
    def __init__(self, *reads):
        self.mean = Mean(reads)

    def view_loss(self, viewed):
        return self.mean.view_loss(viewed)


class OfShape:
    def __init__(self, *shape):
        self.shape = shape

    def image_loss(self, decoded):
        return torch.zeros(self.shape)


def term(name, loss, weight=1.0, begin=0.0, end=1.0):
    return Term(LossTerm(name, weight, begin, end), loss)


def seen(name, features, progress=0.5):
    perceptor = TinyPerceptor()
    perceptor.name = name
    return Viewed(
        torch.tensor(features), torch.zeros(len(features), 3, 2, 2), perceptor, [0, 0], progress
    )


A, B = seen("a", [[1.0, 3.0], [2.0, 2.0]]), seen("b", [[0.0, 8.0], [1.0, 1.0]])


def test_each_term_is_weighted_and_named():
    objective = Objective((term("one", Mean(), 2.0), term("two", Mean(), -0.5)))
    losses = objective.image_losses(DECODED)
    mean = IMAGES.mean((1, 2, 3))
    assert list(losses) == ["one", "two"]
    assert torch.allclose(losses["one"], 2 * mean)
    assert torch.allclose(losses["two"], -0.5 * mean)
    assert torch.allclose(total(losses), 1.5 * mean)


def test_a_term_whose_time_has_not_come_is_not_computed():
    later, gone = Mean(), Mean()
    objective = Objective((term("later", later, 1, 0.6, 1), term("gone", gone, 1, 0, 0.4)))
    assert objective.image_losses(DECODED) == {}
    assert objective.view_losses([(A, 1.0)]) == {}
    assert later.calls == gone.calls == 0
    assert not objective.needs_views(0.5)
    assert objective.needs_views(1.0)
    assert objective.needs_views(0.0)
    assert objective.weights_at(0.5) == {"later": 0, "gone": 0}
    assert objective.weights_at(0.0) == {"later": 0, "gone": 1}


def test_only_losses_of_views_need_views():
    assert not Objective((term("shape", OfShape(2)),)).needs_views(0.5)
    assert Objective((term("shape", OfShape(2)), term("v", OfViews("a")))).needs_views(0.5)
    assert Objective((term("v", OfViews("a")),)).image_losses(DECODED) == {}
    assert Objective((term("shape", OfShape(2)),)).view_losses([(A, 1.0)]) == {}


def test_a_loss_of_views_is_the_mean_over_the_perceptors_by_their_weights():
    objective = Objective((term("v", OfViews("a", "b"), 2.0),))
    losses = objective.view_losses([(A, 0.75), (B, 0.25)])
    assert losses["v"].tolist() == [2 * (0.75 * 2 + 0.25 * 4), 2 * (0.75 * 2 + 0.25 * 1)]


def test_perceptors_that_a_loss_does_not_read_leave_their_weight_to_the_others():
    objective = Objective((term("v", OfViews("b")), term("w", OfViews("a", "b"))))
    losses = objective.view_losses([(A, 0.75), (B, 0.25)])
    assert losses["v"].tolist() == [4, 1]
    assert losses["w"].tolist() == [2.5, 1.75]


def test_a_loss_that_reads_no_perceptor_says_so():
    with pytest.raises(OptimizationError, match="'v' reads none of a, b"):
        Objective((term("v", OfViews("c")),)).view_losses([(A, 0.5), (B, 0.5)])


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 1)])
def test_a_loss_of_another_shape_is_named(shape):
    with pytest.raises(OptimizationError, match=r"'odd' returned .* in place of \[2\]"):
        Objective((term("odd", OfShape(*shape)),)).image_losses(DECODED)
    with pytest.raises(OptimizationError, match=r"'odd' returned .* in place of \[2\]"):
        Objective((term("odd", Mean(shape=shape)),)).view_losses([(A, 1.0)])


def test_what_losses_remember_is_kept_by_their_names():
    plain = term("mean", Mean())
    objective = Objective((plain, term("near", NearStart()), term("far", NearStart(), -1.0)))
    assert objective.begin({"pixels": IMAGES}).states().keys() == {"near", "far"}
    begun = objective.begin({"pixels": IMAGES, "choice": torch.zeros(2).long()})
    assert begun.states()["near"].keys() == {"pixels"}
    assert begun.terms[0] == plain
    moved = Decoded(IMAGES, {"pixels": IMAGES + 2}, range(2), 0.5)
    assert torch.allclose(begun.image_losses(moved)["far"], torch.tensor([-4.0, -4.0]))
    assert objective.image_losses(moved)["near"].tolist() == [0, 0]  # nothing to be near to yet
    other = objective.resume({"near": {"pixels": IMAGES + 1}, "far": {"pixels": IMAGES + 2}})
    assert torch.allclose(other.image_losses(moved)["near"], torch.ones(2))
    assert torch.allclose(other.image_losses(moved)["far"], torch.zeros(2))


def test_losses_are_made_by_their_names():
    context = make_loop(["0.9,0.2,0.2"], [1], distance="cosine").context
    terms = [LossTerm("init", 3.0), LossTerm("clip", 1.0), LossTerm("prior", 2.0)]
    objective = make_objective(terms, context)
    assert [term.schedule for term in objective.terms] == terms
    near, clip, prior = (term.loss for term in objective.terms)
    assert isinstance(near, NearStart)
    assert isinstance(clip, ClipDistance)
    assert isinstance(prior, GeneratorPrior)
    assert (clip.targets, clip.distance) == (context.targets, DISTANCES["cosine"])
    assert prior.generator is context.generator
    with pytest.raises(UnknownNameError, match="did you mean clip"):
        make_objective([LossTerm("clop", 1.0)], context)


def test_what_is_no_loss_is_refused_when_it_is_made():
    info = LossInfo("nothing", "s", f"{__name__}:make_nothing")
    with pytest.raises(GuidegenError, match=r"'nothing' can't be used: .* neither an image_loss"):
        info.load(None)


def make_nothing(info, context):
    return object()


def unit(*rows):
    return torch.nn.functional.normalize(torch.tensor(rows), dim=1)


def clip_loss(target, features, candidates, progress=0.0):
    perceptor = TinyPerceptor()
    viewed = Viewed(features, torch.zeros(len(features), 3, 1, 1), perceptor, candidates, progress)
    return ClipDistance({"tiny": target}, DISTANCES["cosine"]).view_loss(viewed)


def test_clips_loss_weighs_prompts_and_pushes_away_from_negative_ones():
    x, y = [1.0, 0.0], [0.0, 1.0]
    stops = torch.tensor([-9.0, -9.0])
    target = Target(unit(x, y), torch.tensor([2.0, -0.5]), stops)
    features = unit(x, y, [1.0, 1.0]).requires_grad_()
    loss = clip_loss([target], features, [0, 0, 0])
    near = 1 - 0.5**0.5
    assert loss.tolist() == pytest.approx([-0.5, 2.0, 1.5 * near])
    (grad,) = torch.autograd.grad(loss.sum(), features)
    # less loss towards x, and away from y
    assert torch.allclose(grad, torch.tensor([[-2.0, 0.5]]).expand(3, 2))


def test_each_view_is_held_against_its_own_candidates_prompts():
    x, y = [1.0, 0.0], [0.0, 1.0]
    one = torch.ones(1)
    targets = [Target(unit(x), one, -9 * one), Target(unit(y), 3 * one, -9 * one)]
    loss = clip_loss(targets, unit(x, y, x, y), [0, 0, 1, 1])
    assert loss.tolist() == [0, 1, 3, 0]
    assert clip_loss(targets, unit(x), [1]).tolist() == [3]


def test_a_prompt_below_its_stop_keeps_its_value_and_loses_its_gradient():
    x = [1.0, 0.0]
    target = Target(unit(x), torch.ones(1), torch.tensor([0.5]))
    features = unit([1.0, 0.9], [-1.0, 0.1]).requires_grad_()
    loss = clip_loss([target], features, [0, 0])
    assert torch.allclose(loss, 1 - features[:, 0])
    (grad,) = torch.autograd.grad(loss.sum(), features)
    assert grad[:, 0].tolist() == [0, -1]


def test_the_scene_that_is_on_decides_which_prompts_count():
    x, y = [1.0, 0.0], [0.0, 1.0]
    scenes = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    target = Target(unit(x, y), torch.tensor([1.0, 2.0]), torch.full((2,), -9.0), scenes)
    assert clip_loss([target], unit(x, y), [0, 0], 0.0).tolist() == [0, 1]
    assert clip_loss([target], unit(x, y), [0, 0], 1.0).tolist() == [2, 0]
    # halfway through the last third of the first scene both count by half
    assert clip_loss([target], unit(x, y), [0, 0], 5 / 12).tolist() == pytest.approx([1.0, 0.5])
