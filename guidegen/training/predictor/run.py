"""The `predictor` command: texts, generator and CLIP, trainer, evaluation and export."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from guidegen.clip.perceptor import load_perceptor
from guidegen.engine.defaults import fits
from guidegen.errors import ConfigError
from guidegen.guidance.starts.predictor import (
    MOST_NUMBERS,
    NetworkSizes,
    Predictor,
    PredictorCard,
    PredictorNetwork,
    save_predictor,
    shapes_of,
    telltale_of,
)
from guidegen.interfaces import Encodes, Generator, Perceptor
from guidegen.ops import joined
from guidegen.registry import find, load_generator
from guidegen.training.data.dataset import CaptionedImages
from guidegen.training.device import choose
from guidegen.training.predictor.evaluate import Evaluator, Score
from guidegen.training.predictor.texts import Drawings, Told, make_texts
from guidegen.training.predictor.trainer import PredictorConfig, PredictorTrainer

log = logging.getLogger(__name__)

_DRAWN = 48  # least side in pixels at which drawings are kept
_EXAMPLES = 32  # starts of the generator from which the scale of latents is taken


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be predicted for what.

    Attributes:
        generator: as `--generator` takes it.
        option: its options, "NAME=VALUE" each.
        size: side of its pictures in pixels; None is its own.
        perceptor: the CLIP, as `--perceptor` takes it.
        finest: grids up to this side are predicted.
        sizes: of the network; its embedding is the CLIP's.
    """

    generator: str
    option: Sequence[str]
    size: int | None
    perceptor: str
    finest: int
    width: int
    channels: int
    noise: int
    rank: int = 128
    cells: int = 2


def run(
    data: Path,
    out: Path,
    *,
    wanted: Wanted,
    pictures: bool,
    texts: int,
    state_file: Path,
    config: PredictorConfig,
    evaluate_every: int,
    seed: int,
    device: str,
    begin: Path | None = None,
) -> list[Score]:
    """See `guidegen.training.image_commands.predictor`; curves go to `out/curves.jsonl`.

    Raises:
        GuidegenError: what is wanted can't be, or the data can't be read.
    """
    where = str(choose(device))
    backend, variant = find(wanted.generator)
    info = backend.info(variant)
    size = (wanted.size or info.default_size,) * 2
    fits(info, size)
    if pictures and not info.encodes:
        raise ConfigError(f"{info.name} can't encode drawings; leave --pictures out")
    everything = CaptionedImages(data)
    records = [r for r in everything if r.split == "train"]
    generator = load_generator(
        wanted.generator, wanted.option, size=size, device=where, precision="auto"
    )
    perceptor = load_perceptor(wanted.perceptor, device=where)
    card = _card(generator, perceptor, wanted)
    earlier = None if begin is None else _earlier(begin, card)
    told = make_texts(records, texts, seed=seed)
    embeddings = _encoded(perceptor, [each.text for each in told])
    drawings = None
    if pictures:
        reading = tqdm(records, desc="reading", unit="image", mininterval=5)
        drawings = Drawings(
            everything.images(max(_DRAWN, config.picture_size), reading), config.picture_size, where
        )
    torch.manual_seed(seed)
    network = _network(card)
    rngs = [torch.Generator().manual_seed(k) for k in range(_EXAMPLES)]
    starts = generator.init(_EXAMPLES, rngs=rngs)
    network.to(where)
    if earlier is not None:
        network.load_state_dict(earlier.state_dict())
    else:
        network.calibrate(embeddings, starts)
        if drawings is not None and not state_file.exists():
            explained = _fit(network, generator, embeddings, told, drawings)
            log.info("drawings alone explain %.1f %% of held-out latents", 100 * explained)
    trainer = PredictorTrainer(
        network, generator, starts, perceptor, embeddings, told, config,
        drawings=drawings, state_file=state_file, seed=seed,
    )  # fmt: skip
    evaluator = Evaluator(everything.records, perceptor, generator)
    notes: dict[str, object] = {"seed": seed, "pictures": pictures, "texts": texts}
    return trainer.scored(
        "predictor",
        evaluate_every,
        lambda means: _export(trainer, out, card, evaluator, means, notes),
    )


def _card(generator: Generator, perceptor: Perceptor, wanted: Wanted) -> PredictorCard:
    latents = shapes_of(generator)
    start = generator.init(1, rngs=[torch.Generator().manual_seed(0)])
    predicted = tuple(
        name
        for name, shape in latents.items()
        if start[name].is_floating_point() and _small(shape, wanted.finest)
    )
    if not predicted:
        raise ConfigError(
            f"{generator.info.name} has no latents of at most {wanted.finest} a side to predict; "
            "raise --finest"
        )
    return PredictorCard(
        generator=generator.info.name,
        option=tuple(wanted.option),
        size=generator.size,
        weights=generator.digest,
        perceptor=wanted.perceptor,
        latents=latents,
        network=NetworkSizes(
            embedding=len(telltale_of(perceptor)),
            noise=wanted.noise,
            width=wanted.width,
            channels=wanted.channels,
            rank=wanted.rank,
            cells=wanted.cells,
        ),
        predicted=predicted,
    )


def _earlier(folder: Path, card: PredictorCard) -> PredictorNetwork:
    """The network of another training, of the same shape and for the same latents."""
    found = Predictor.load(folder)
    for what in ("latents", "predicted", "network"):
        theirs, ours = getattr(found.card, what), getattr(card, what)
        if theirs != ours:
            raise ConfigError(
                f"{folder} differs from the training in its {what} "
                f"(generator {found.card.generator}, {theirs})",
                field="begin",
            )
    return found.network


def _small(shape: tuple[int, ...], finest: int) -> bool:
    if len(shape) == 3:
        return max(shape[1:]) <= finest
    return torch.Size(shape).numel() <= MOST_NUMBERS


def _network(card: PredictorCard) -> PredictorNetwork:
    return PredictorNetwork(card.network, {name: card.latents[name] for name in card.predicted})


def _fit(
    network: PredictorNetwork,
    generator: Generator,
    embeddings: Tensor,
    told: Sequence[Told],
    drawings: Drawings,
) -> float:
    """Begin with what the drawings of the texts tell; see `PredictorNetwork.fit`."""
    assert isinstance(generator, Encodes)
    parts = []
    for i in tqdm(range(0, len(told), 64), desc="drawings", unit="64", mininterval=5):
        seen = F.interpolate(drawings(told[i : i + 64]), generator.size, mode="bilinear")
        found = generator.encode(seen)
        parts.append({name: found[name] for name in network.shapes})
    return network.fit(embeddings, joined(parts))


def _encoded(perceptor: Perceptor, texts: list[str]) -> Tensor:
    parts = [texts[i : i + 256] for i in range(0, len(texts), 256)]
    reading = tqdm(parts, desc="texts", unit="256", mininterval=5)
    return torch.cat([perceptor.encode_text(part).float() for part in reading])


def _export(
    trainer: PredictorTrainer,
    out: Path,
    card: PredictorCard,
    evaluator: Evaluator,
    means: dict[str, float],
    notes: dict[str, object],
) -> list[Score]:
    """Write the predictor, and score what the file holds."""
    telltale = telltale_of(trainer.perceptor)
    state = trainer.average.module.state_dict()
    save_predictor(out, card, state, telltale, step=trainer.step, **notes)
    scores = evaluator(Predictor.load(out, device=str(trainer.device)))
    line = {
        "step": trainer.step,
        **{name: round(value, 4) for name, value in means.items()},
        **{f"{s.split}-cosine": round(s.cosine, 4) for s in scores},
        **{f"{s.split}-top1": round(s.top1, 4) for s in scores},
        **{f"{s.split}-top5": round(s.top5, 4) for s in scores},
        **{f"{s.split}-apart": round(s.apart, 4) for s in scores},
    }
    with (out / "curves.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    log.info("step %d: %s\n%s", trainer.step, line, "\n".join(map(str, scores)))
    return scores
