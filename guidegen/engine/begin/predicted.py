"""Where the latents of a batch start: predicted from the prompt by a trained network.

The latents are taken as they are where the generator, its options and its size are those of the
predictor's training. Elsewhere the predicted picture is: drawn at the size of the training, put on
the canvas and encoded, which for a pyramid resamples its layers to those that the canvas has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from guidegen.clip.perceptor import Ensemble
from guidegen.errors import ConfigError
from guidegen.guidance.starts.predictor import Predictor, PredictorCard, read_card
from guidegen.interfaces import Encodes, Generator, Images, Latents, Preference, Target
from guidegen.interfaces.wrapped import Wrapped
from guidegen.ops import joined, resize
from guidegen.registry import load_generator
from guidegen.weights.store import embedded

_FIELD = "start_from"


@dataclass(frozen=True)
class LoadedPredictor:
    """A predictor that fits a run.

    Attributes:
        predictor: the network.
        perceptor: name of the run's CLIP whose words it reads.
        drawer: the generator of its training, whose pictures the run's own encodes; None where the
            latents are the run's own.
    """

    predictor: Predictor
    perceptor: str
    drawer: Generator | None


class PredictedStart(Wrapped):
    """A generator whose starts are predicted from what each candidate's preference says.

    Args:
        generator: what is optimised.
        loaded: the predictor; fits the generator.
    """

    def __init__(self, generator: Generator, loaded: LoadedPredictor) -> None:
        super().__init__(generator)
        self.loaded = loaded

    @torch.no_grad()
    def init(
        self,
        batch: int,
        *,
        rngs: Sequence[torch.Generator],
        preference: Sequence[Preference] | None = None,
    ) -> Latents:
        """One start a row, each by its own random numbers."""
        assert preference is not None
        each = [self._one(preference[row], rngs[row]) for row in range(batch)]
        return joined(each)

    def _one(self, preference: Preference, rng: torch.Generator) -> Latents:
        assert preference.embedding is not None
        drawer = self.loaded.drawer or self.generator
        latents = self.loaded.predictor.starts(drawer, preference.embedding[None], [rng])
        if self.loaded.drawer is None:
            return latents
        assert isinstance(self.generator, Encodes)
        return self.generator.encode(on_canvas(drawer.decode(latents), self.generator.size))


def on_canvas(images: Images, size: tuple[int, int]) -> Images:
    """Pictures as large as fits the canvas, in its middle; their edges go on to its own.

    Args:
        images: [B, 3, h, w].
        size: (height, width) of the canvas.
    """
    height, width = images.shape[-2:]
    factor = min(size[0] / height, size[1] / width)
    inner = (min(size[0], round(height * factor)), min(size[1], round(width * factor)))
    images = resize(images, inner)
    rows_left, columns_left = size[0] - inner[0], size[1] - inner[1]
    around = (
        columns_left // 2, columns_left - columns_left // 2,
        rows_left // 2, rows_left - rows_left // 2,
    )  # fmt: skip
    return F.pad(images, around, mode="replicate")


def embedding_of(target: Target) -> Tensor:
    """What a candidate's prompts ask for together, as a unit vector [d]; of a story, at first.

    What pushes away is left out: a predictor has learnt from texts, not from their opposites.
    """
    weights = target.weights.clamp(min=0)
    if target.scenes is not None:
        weights = weights * target.scenes[0]
    return F.normalize((weights[:, None] * target.features).sum(0), dim=0)


def wishes(
    loaded: LoadedPredictor, targets: Sequence[Target], start: Sequence[Preference] | None
) -> list[Preference]:
    """Each candidate's preference, with the embedding that its start is predicted from.

    Args:
        loaded: the predictor.
        targets: each candidate's, in the space of the CLIP whose words it reads.
        start: what the generator's vocabulary should show; None where there is none.
    """
    found = start or [Preference((), torch.zeros(0, 0))] * len(targets)
    return [
        Preference(own.phrases, own.scores, own.backdrop, embedding_of(target))
        for own, target in zip(found, targets, strict=True)
    ]


def predictor_folder(named: str) -> Path:
    """Where a predictor lies.

    Args:
        named: what follows `predicted` in the setting; "" is the embedded one.
    """
    return Path(named).expanduser() if named else embedded("predictor")


def load_fitting(
    named: str, generator: Generator, option: Sequence[str], ensemble: Ensemble, device: str
) -> LoadedPredictor:
    """The predictor that a run names, checked against what it runs with.

    Raises:
        ConfigError: it is for another CLIP, or its latents mean nothing to the generator.
        WeightsError: it is not there, or damaged.
    """
    predictor = Predictor.load(predictor_folder(named), device=device)
    card = predictor.card
    read = [perceptor.name for perceptor, _ in ensemble if predictor.reads(perceptor)]
    if not read:
        raise _other_clip(card, [perceptor.name for perceptor, _ in ensemble])
    if card.draws_like(generator, option):
        return LoadedPredictor(predictor, read[0], None)
    if not isinstance(generator, Encodes):
        made = f"{card.generator} at {card.size[1]}x{card.size[0]}"
        with_options = f" with {', '.join(card.option)}" if card.option else ""
        raise ConfigError(
            f"that predictor is for {made}{with_options}, and {generator.info.name} can't take its "
            "pictures; train one for it: python -m guidegen.training predictor",
            field=_FIELD,
        )
    drawer: Generator = load_generator(
        card.generator, card.option, size=card.size, device=device, precision="fp32"
    )
    if not card.draws_like(drawer, card.option):
        raise ConfigError(
            f"that predictor was made for other weights of {card.generator} than those here; "
            "train one for these, or leave it out",
            field=_FIELD,
        )
    return LoadedPredictor(predictor, read[0], drawer)


def check_predictor(named: str, generator: str, encodes: bool, perceptors: Sequence[str]) -> None:
    """Refuse what can be refused of a predictor without loading a model.

    Args:
        named: what follows `predicted` in the setting.
        generator: full name of what is optimised.
        encodes: whether it can start from a picture.
        perceptors: the CLIPs, as the setting has them.

    Raises:
        GuidegenError: about the predictor.
    """
    card = read_card(predictor_folder(named))
    if card.generator != generator and not encodes:
        raise ConfigError(
            f"that predictor is for {card.generator}, and {generator} can't take its pictures; "
            "train one for it: python -m guidegen.training predictor",
            field=_FIELD,
        )
    names = [spec.partition("@")[0] for spec in perceptors]
    if not any(_may_read(card.perceptor, name) for name in names):
        raise _other_clip(card, names)


def _may_read(theirs: str, ours: str) -> bool:
    """Whether two CLIPs may have one text tower; folders are only told apart once loaded."""
    if "local-dir:" in theirs + ours:
        return True
    return theirs == ours or theirs.split("/")[0] == ours.split("/")[0] == "embedded"


def _other_clip(card: PredictorCard, names: Sequence[str]) -> ConfigError:
    return ConfigError(
        f"that predictor reads the words of {card.perceptor}, not of {' or '.join(names)}; let "
        f"{card.perceptor} guide too, or train one for {names[0]}: "
        "python -m guidegen.training predictor",
        field=_FIELD,
    )
