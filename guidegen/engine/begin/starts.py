"""The starts that a run would choose from, drawn and scored but not optimised."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Unpack

import torch
from PIL import Image

from guidegen.config import MAX_STARTS, RunConfig, make_config
from guidegen.engine.build import Guidance, make_candidate, make_guidance, start_drawer
from guidegen.engine.models import Session, open_session
from guidegen.engine.resolve import check, resolve
from guidegen.engine.settings import Settings, plain
from guidegen.errors import ConfigError
from guidegen.guidance.starts.search import draw, losses_of
from guidegen.media.images import to_pil
from guidegen.ops import rows


@dataclass(frozen=True)
class Start:
    """One start.

    Attributes:
        number: from 1, as `RunConfig.pick` takes it.
        image: at full size.
        loss: total loss at the first step, lower is better; comparable within one call.
        config: that of a run which goes on from it.
    """

    number: int
    image: Image.Image
    loss: float
    config: RunConfig


def draw_starts(config: RunConfig, count: int) -> Iterator[Start]:
    """Draw the first `count` starts of a config's seed, each scored when it is asked for.

    Args:
        config: its own `starts` and `pick` do not matter.
        count: how many.

    Raises:
        GuidegenError: as `check_starts`, before any work.
    """
    check_starts(config, count)
    each = [config.model_copy(update={"pick": number}) for number in range(1, count + 1)]
    resolved = resolve(each[0])
    session = open_session(resolved)
    candidate = make_candidate(resolved.picture, negative_weight=resolved.negative_weight)
    return _draw(session, make_guidance(session, resolved.settings, [candidate]), each)


def check_starts(config: RunConfig, count: int) -> None:
    """Refuse early what `draw_starts` can't draw.

    Raises:
        ConfigError: the run would start from a picture or run, or the count is out of range.
        GuidegenError: as `guidegen.engine.resolve.check`.
    """
    if not 1 <= count <= MAX_STARTS:
        raise ConfigError(f"draw 1 to {MAX_STARTS:,} starts, not {count}", field="count")
    for field in ("init_image", "init_run"):
        if getattr(config, field) is not None:
            raise ConfigError("it is a start already; leave it out to draw others", field=field)
    check([config.model_copy(update={"pick": 1})])


def starts(prompt: str, *, count: int = 16, **settings: Unpack[Settings]) -> list[Start]:
    """Show what a run would start from, without optimising.

        found = guidegen.starts("a red apple", seed=7)
        best = min(found, key=lambda start: start.loss)
        guidegen.generate("a red apple", seed=7, pick=best.number)

    Args:
        prompt: what to draw.
        count: how many starts.
        settings: as those of `guidegen.generate`; nothing is written, whatever `out` says.

    Raises:
        GuidegenError: as `guidegen.generate`, before any work.
    """
    fields = plain(settings)
    fields.pop("out", None)
    return list(draw_starts(make_config({"prompt": prompt, **fields}), count))


@torch.no_grad()
def _draw(session: Session, guidance: Guidance, configs: list[RunConfig]) -> Iterator[Start]:
    evaluator, preference = start_drawer(session, guidance)
    generator = evaluator.generator
    latents = draw(evaluator, 0, len(configs), preference=preference)
    generator.constrain_(latents)
    cutouts = evaluator.sample_cutouts(range(1))  # the same views for all
    for row, config in enumerate(configs):
        start = rows(latents, slice(row, row + 1))
        loss = float(losses_of(evaluator, 0, start, cutouts))
        image = generator.decode(start, size=generator.size)[0]
        yield Start(row + 1, to_pil(image), loss, config)
