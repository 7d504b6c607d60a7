"""From resolved configs to the objects that do the work."""

from collections.abc import Generator as Generating
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from guidegen.config import PictureConfig, ResolvedSettings
from guidegen.cutouts import make_cutouts
from guidegen.engine.begin.fork import init_latents
from guidegen.engine.begin.inpaint import start_picture
from guidegen.engine.begin.predicted import PredictedStart, wishes
from guidegen.engine.begin.start import StartFrom
from guidegen.engine.models import Session
from guidegen.guidance.averaging import averaged, best_so_far
from guidegen.guidance.budget import Budget, share_micro_batches
from guidegen.guidance.camera import Motion
from guidegen.guidance.evaluate import LossEvaluator
from guidegen.guidance.judge import Judge, judged
from guidegen.guidance.losses.distances import DISTANCES
from guidegen.guidance.objective import make_objective
from guidegen.guidance.optimize import optimize
from guidegen.guidance.regions import region_terms
from guidegen.guidance.schedule import LoopSettings, measures_the_same
from guidegen.guidance.starts.evolution import evolve
from guidegen.guidance.starts.mixture import Mixture, mix_best
from guidegen.guidance.starts.search import best_of, prefer
from guidegen.guidance.targets import encode_targets
from guidegen.interfaces import (
    Candidate,
    Encodes,
    Generator,
    Latents,
    LoopState,
    LossContext,
    Preference,
    Step,
    Target,
)
from guidegen.ops import rows
from guidegen.prompt.grammar import Prompt
from guidegen.prompt.loss_terms import all_loss_terms
from guidegen.prompt.references import parse_image_prompt, parse_noise_prompt

# Candidates in one batch: wide enough to fill a GPU; a CPU takes them one by one anyway.
WIDTH = 8


@dataclass(frozen=True)
class Guidance:
    """What guides a batch.

    Attributes:
        evaluator: of the losses of all candidates.
        schedule: steps, learning rate, scenes and moves of the loop.
        targets: name of a perceptor -> each candidate's encoded prompts.
        judge: scores the pictures and does not guide them.
    """

    evaluator: LossEvaluator
    schedule: LoopSettings
    targets: Mapping[str, Sequence[Target]]
    judge: Judge | None = None


def make_steps(
    session: Session, guidance: Guidance, settings: ResolvedSettings, resume: LoopState | None
) -> Generating[Step, None, None]:
    """The steps of a batch, from their starts or from where they were stopped.

    Args:
        session: loaded models.
        guidance: of all candidates.
        settings: that they share.
        resume: go on from this state.
    """
    generator, evaluator = session.generator, guidance.evaluator
    preference = _preference(session, generator, evaluator)
    if resume is not None:
        latents = dict(resume.latents)
    elif settings.init_image is not None:
        assert isinstance(generator, Encodes)
        start = generator.encode(start_picture(settings).to(settings.device))
        latents = _for_all(start, evaluator, settings)
    elif settings.init_run is not None:
        latents = _for_all(init_latents(settings.init_run), evaluator, settings)
    else:
        drawer, wanted = start_drawer(session, guidance, preference)
        latents = _searched(session, drawer, settings, wanted)
    if torch.device(settings.device).type == "cpu":
        share_micro_batches(evaluator, latents)
    schedule, objective = guidance.schedule, evaluator.objective
    steps = optimize(evaluator, latents, schedule, preference=preference, resume=resume)
    if settings.ema:
        steps = averaged(steps, settings.ema, generator.decode, resume=resume)
    comparable = partial(measures_the_same, objective, schedule)
    steps = best_so_far(steps, comparable=comparable, resume=resume)
    if guidance.judge is not None:
        steps = judged(steps, guidance.judge, every=settings.judge_every, resume=resume)
    yield from steps


def _for_all(start: Latents, evaluator: LossEvaluator, settings: ResolvedSettings) -> Latents:
    """One start [1, ...] for every candidate."""
    index = torch.zeros(len(evaluator.candidates), dtype=torch.long, device=settings.device)
    return rows({name: value.to(settings.device) for name, value in start.items()}, index)


def _searched(
    session: Session,
    drawer: LossEvaluator,
    settings: ResolvedSettings,
    preference: Sequence[Preference] | None,
) -> Latents:
    """Where the run begins: the best start, a mixture of the best, or what evolved from it."""
    if isinstance(session.generator, Mixture):
        return mix_best(session.generator, drawer, settings.starts, preference=preference)
    latents = best_of(drawer, settings.starts, preference=preference)
    if settings.evolve:
        return evolve(
            drawer,
            latents,
            generations=settings.evolve,
            population=settings.population,
            inner_steps=settings.evolve_steps,
            lr=settings.lr,
            preference=preference,
        )
    return latents


def start_drawer(
    session: Session,
    guidance: Guidance,
    preference: Sequence[Preference] | None = None,
) -> tuple[LossEvaluator, Sequence[Preference] | None]:
    """The evaluator whose generator draws starts, and what its vocabulary should show.

    Args:
        session: loaded models.
        guidance: of the run.
        preference: of the run's own generator, if it is known already.

    Returns:
        The run's own, or that of what predicts or draws the pictures that the run starts from.
    """
    evaluator, painter = guidance.evaluator, session.generator
    if isinstance(painter, Mixture):
        painter = painter.generator
    if session.first is not None:
        laid = replace(evaluator, generator=StartFrom(painter, session.first))
        return laid, _preference(session, session.first, evaluator)
    preference = preference or _preference(session, session.generator, evaluator)
    if session.predictor is None:
        return replace(evaluator, generator=painter), preference
    targets = guidance.targets[session.predictor.perceptor]
    predicted = replace(evaluator, generator=PredictedStart(painter, session.predictor))
    return predicted, wishes(session.predictor, targets, preference)


def _preference(
    session: Session, generator: Generator, evaluator: LossEvaluator
) -> list[Preference] | None:
    if generator.vocabulary is None:
        return None
    return prefer(session.ensemble, generator.vocabulary, evaluator.candidates)


def make_guidance(
    session: Session, settings: ResolvedSettings, candidates: Sequence[Candidate]
) -> Guidance:
    """What resolved settings ask for, for all candidates of a batch."""
    targets = {
        perceptor.name: encode_targets(perceptor, candidates, template=settings.template)
        for perceptor, _ in session.ensemble
    }
    context = LossContext(
        generator=session.generator,
        perceptors=session.ensemble.parts,
        candidates=candidates,
        targets=targets,
        distance=DISTANCES[settings.distance],
    )
    terms = all_loss_terms(settings.loss, prior=settings.prior, init=settings.init_weight)
    objective = make_objective(terms, context, settings.loss_option)
    cutouts = make_cutouts(
        settings.cutout_method,
        count=settings.cutouts,
        noise=settings.cutout_noise,
        whole=settings.cutout_whole,
        scale=settings.cutout_sides(),
        shift=settings.cutout_shift,
        last_scale=settings.last_cutout_sides(),
    )
    if settings.region:
        objective = objective.and_terms(
            region_terms(settings.regions(), context, cutouts=cutouts, template=settings.template)
        )
    evaluator = LossEvaluator(
        generator=session.generator,
        objective=objective,
        perceptors=session.ensemble,
        cutouts=cutouts,
        candidates=candidates,
        budget=Budget(views=settings.cutout_batch, group=_group(settings)),
        doublings=settings.coarse_to_fine,
    )
    schedule = LoopSettings(
        steps=settings.steps,
        lr=settings.lr,
        lr_end=settings.lr_end,
        optimizer=settings.optimizer,
        scenes=1 + max((0, *candidates[0].scenes)),
        motion=_motion(settings),
        warmup=settings.lr_warmup,
        latent_noise=settings.latent_noise,
        doublings=settings.coarse_to_fine,
    )
    return Guidance(evaluator, schedule, targets, _judge(session, settings, candidates))


def _judge(
    session: Session, settings: ResolvedSettings, candidates: Sequence[Candidate]
) -> Judge | None:
    if session.judge is None:
        return None
    targets = encode_targets(session.judge, candidates, template=settings.template)
    return Judge(session.judge, targets, [len(candidate.prompts) for candidate in candidates])


def make_candidate(picture: PictureConfig, *, negative_weight: float) -> Candidate:
    """One picture's prompts, scenes, references, seed and random numbers.

    Args:
        picture: what it has of its own.
        negative_weight: how strongly its negative prompts push away.
    """
    scenes = picture.scenes
    away = tuple(Prompt(text.strip(), weight=-negative_weight) for text in picture.negative)
    prompts = tuple(prompt for scene in scenes for prompt in scene)
    of_prompts = tuple(number for number, scene in enumerate(scenes) for _ in scene)
    return Candidate(
        prompts=(*prompts, *away),
        rng=torch.Generator().manual_seed(picture.seed),
        scenes=(*of_prompts, *(-1 for _ in away)) if len(scenes) > 1 else (),
        references=(
            *map(parse_image_prompt, picture.image_prompt),
            *map(parse_noise_prompt, picture.noise_prompt),
        ),
        pick=picture.pick,
    )


def _group(settings: ResolvedSettings) -> int:
    """How many pictures go through the generator together: as many as free memory will hold.

    A guess, from the 18 KB a pixel that a VQGAN decoder keeps for its backward pass in fp32; where
    it was too high, the loop halves it.
    """
    if not settings.device.startswith("cuda"):
        return 1
    height, width = settings.height_width()
    free, _ = torch.cuda.mem_get_info(settings.device)
    return max(1, min(WIDTH, free // (18_000 * height * width)))


def _motion(settings: ResolvedSettings) -> Motion | None:
    if not settings.moves:
        return None
    return Motion(settings.zoom, settings.shift_xy(), settings.rotate, settings.move_every)
