"""From resolved configs to the objects that do the work."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from guidegen.config import ResolvedConfig
from guidegen.cutouts import make_cutouts
from guidegen.engine.models import Session
from guidegen.guidance.averaging import averaged, best_so_far
from guidegen.guidance.camera import Motion
from guidegen.guidance.evaluate import Budget, LossEvaluator
from guidegen.guidance.losses.distances import DISTANCES
from guidegen.guidance.objective import make_objective
from guidegen.guidance.optimize import optimize
from guidegen.guidance.schedule import LoopSettings, measures_the_same
from guidegen.guidance.search import best_of, prefer
from guidegen.guidance.targets import encode_targets
from guidegen.interfaces import Candidate, Encodes, LoopState, LossContext, Step, Target
from guidegen.media.images import read_init
from guidegen.ops import rows
from guidegen.prompt.grammar import Prompt, parse_scenes
from guidegen.prompt.loss_terms import all_loss_terms

# Candidates in one batch: wide enough to fill a GPU; a CPU takes them one by one anyway.
WIDTH = 8


@dataclass(frozen=True)
class Guidance:
    """What guides a batch.

    Attributes:
        evaluator: of the losses of all candidates.
        settings: of the loop.
        targets: name of a perceptor -> each candidate's encoded prompts.
    """

    evaluator: LossEvaluator
    settings: LoopSettings
    targets: Mapping[str, Sequence[Target]]


def make_steps(
    session: Session, guidance: Guidance, config: ResolvedConfig, resume: LoopState | None
) -> Generator[Step, None, None]:
    """The steps of a batch, from their starts or from where they were stopped.

    Args:
        session: loaded models.
        guidance: of all candidates.
        config: of any of them; the prompts are in the guidance.
        resume: go on from this state.
    """
    generator, evaluator = session.generator, guidance.evaluator
    preference = None
    if generator.vocabulary is not None:
        preference = prefer(session.ensemble, generator.vocabulary, evaluator.candidates)
    if resume is not None:
        latents = dict(resume.latents)
    elif config.init_image is not None:
        assert isinstance(generator, Encodes)
        size = config.height_width()
        start = generator.encode(read_init(config.init_image, size).to(config.device))
        index = torch.zeros(len(evaluator.candidates), dtype=torch.long, device=config.device)
        latents = rows(start, index)
    else:
        latents = best_of(evaluator, config.starts, preference=preference)
    settings, objective = guidance.settings, evaluator.objective
    steps = optimize(evaluator, latents, settings, preference=preference, resume=resume)
    if config.ema:
        steps = averaged(steps, config.ema, generator.decode, resume=resume)
    comparable = partial(measures_the_same, objective, settings)
    yield from best_so_far(steps, comparable=comparable, resume=resume)


def make_guidance(
    session: Session, config: ResolvedConfig, candidates: Sequence[Candidate]
) -> Guidance:
    """What a resolved config asks for, for all candidates of a batch."""
    targets = {
        perceptor.name: encode_targets(perceptor, candidates, config)
        for perceptor, _ in session.ensemble
    }
    context = LossContext(
        generator=session.generator,
        perceptors=session.ensemble.parts,
        candidates=candidates,
        targets=targets,
        distance=DISTANCES[config.distance],
    )
    terms = all_loss_terms(config.loss, prior=config.prior, init=config.init_weight)
    evaluator = LossEvaluator(
        generator=session.generator,
        objective=make_objective(terms, context),
        perceptors=session.ensemble,
        cutouts=make_cutouts(config.cutout_method, count=config.cutouts, noise=config.cutout_noise),
        candidates=candidates,
        budget=Budget(views=config.cutout_batch, group=_group(config)),
    )
    settings = LoopSettings(
        steps=config.steps,
        lr=config.lr,
        lr_end=config.lr_end,
        optimizer=config.optimizer,
        scenes=len(parse_scenes(config.prompt)),
        motion=_motion(config),
    )
    return Guidance(evaluator, settings, targets)


def make_candidate(config: ResolvedConfig) -> Candidate:
    """One picture's prompts, scenes, seed and random numbers."""
    scenes = parse_scenes(config.prompt)
    away = tuple(Prompt(text.strip(), weight=-config.negative_weight) for text in config.negative)
    rng = torch.Generator().manual_seed(config.seed)
    prompts = tuple(prompt for scene in scenes for prompt in scene)
    of_prompts = tuple(number for number, scene in enumerate(scenes) for _ in scene)
    story = (*of_prompts, *(-1 for _ in away)) if len(scenes) > 1 else ()
    return Candidate((*prompts, *away), config.seed, rng, story)


def _group(config: ResolvedConfig) -> int:
    """How many pictures go through the generator together: as many as free memory will hold.

    A guess, from the 18 KB a pixel that a VQGAN decoder keeps for its backward pass in fp32; where
    it was too high, the loop halves it.
    """
    if not config.device.startswith("cuda"):
        return 1
    height, width = config.height_width()
    free, _ = torch.cuda.mem_get_info(config.device)
    return max(1, min(WIDTH, free // (18_000 * height * width)))


def _motion(config: ResolvedConfig) -> Motion | None:
    if not config.moves:
        return None
    return Motion(config.zoom, config.shift_xy(), config.rotate, config.move_every)
