"""A predictor on disk: a folder with `model.safetensors` and `config.json`, which says for what."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor
from torch.nn import functional as F

from guidegen.errors import WeightsError
from guidegen.guidance.starts.predictor.network import NetworkSizes, PredictorNetwork
from guidegen.interfaces import Generator, Latents, Perceptor
from guidegen.ops import joined
from guidegen.utils.files import make_folder, write_atomic
from guidegen.utils.parse import parse_json, read_text
from guidegen.weights.store import CONFIG, MODEL, sha256_file

_TRAIN = "python -m guidegen.training predictor"
# What a CLIP says of this text tells whether it is the one that a predictor was trained with. An
# image tower may be another one: a predictor reads texts only.
_TELLTALE = "a red apple on a white background, a drawing"
_TELLTALE_KEY = "telltale"
# Cosine of the two: rounding leaves .9999 at least, another text tower far less.
_SAME_TEXT = 0.995
_LARGEST = 4096  # of any figure of a config
# Of one latent; a linear layer gives those that are no grids.
MOST_NUMBERS = 1 << 17


@dataclass(frozen=True, kw_only=True)
class PredictorCard:
    """What a predictor was made for.

    Attributes:
        generator: as `--generator` takes it.
        option: the generator's options, "NAME=VALUE" each.
        size: (height, width) of its pictures.
        weights: digest of the generator; "" where it has none.
        perceptor: the CLIP of the texts, as `--perceptor` takes it.
        latents: name -> shape of one candidate, of every latent at that size.
        network: sizes of the network.
        predicted: names of the latents that it gives; the others stay as the generator starts.
    """

    generator: str
    option: tuple[str, ...]
    size: tuple[int, int]
    weights: str
    perceptor: str
    latents: Mapping[str, tuple[int, ...]]
    network: NetworkSizes
    predicted: tuple[str, ...]

    def draws_like(self, generator: Generator, option: Sequence[str]) -> bool:
        """Whether latents of this card mean the same picture to a generator.

        Args:
            generator: as it was loaded.
            option: the options that it was loaded with.
        """
        info = generator.info
        return (
            (info.name, generator.digest) == (self.generator, self.weights)
            and info.read_options(option) == info.read_options(self.option)
            and shapes_of(generator) == dict(self.latents)
        )


def shapes_of(generator: Generator) -> dict[str, tuple[int, ...]]:
    """Name -> shape of one candidate, of every latent of a generator."""
    start = generator.init(1, rngs=[torch.Generator().manual_seed(0)])
    return {name: tuple(value.shape[1:]) for name, value in start.items()}


@dataclass(frozen=True)
class Predictor:
    """Maps texts to latents.

    Attributes:
        card: what it was made for.
        network: in evaluation mode.
        telltale: [d], what its CLIP says of a certain text.
        digest: SHA-256 of its weights.
    """

    card: PredictorCard
    network: PredictorNetwork
    telltale: Tensor
    digest: str

    @torch.no_grad()
    def __call__(self, embeddings: Tensor, rngs: Sequence[torch.Generator]) -> Latents:
        """The predicted latents [n, ...] of n texts.

        Args:
            embeddings: [n, d] unit vectors of the CLIP that it was trained with.
            rngs: n CPU generators, of the noise that makes one start differ from the next.
        """
        noise = [torch.randn(self.card.network.noise, generator=rng) for rng in rngs]
        # one by one: a row's last bits must not depend on how many there are
        each = [
            self.network(row[None].float(), own[None].to(row.device))
            for row, own in zip(embeddings, noise, strict=True)
        ]
        return joined(each)

    def starts(
        self, generator: Generator, embeddings: Tensor, rngs: Sequence[torch.Generator]
    ) -> Latents:
        """All latents of n texts: the generator's own start with what is predicted in it.

        Args:
            generator: one that the card draws like.
            embeddings: [n, d], as for a call.
            rngs: n CPU generators, of the generator's start and then of the noise.
        """
        latents = generator.init(len(embeddings), rngs=rngs)
        latents |= self(embeddings, rngs)
        generator.constrain_(latents)
        return latents

    def reads(self, perceptor: Perceptor) -> bool:
        """Whether a CLIP says of texts what the predictor was trained with."""
        seen = telltale_of(perceptor)
        if seen.shape != self.telltale.shape:
            return False
        return float(seen @ self.telltale.to(seen)) > _SAME_TEXT

    @classmethod
    def load(cls, folder: Path, *, device: str = "cpu") -> Self:
        """Read one.

        Raises:
            WeightsError: it is not there, or not what it says.
        """
        card, sha256 = _read(folder)
        data = (folder / MODEL).read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise _damaged(folder, f"the SHA-256 of {MODEL} is not that of {CONFIG}")
        try:
            state = {name: value.float() for name, value in load(data).items()}
            telltale = state.pop(_TELLTALE_KEY)
            network = PredictorNetwork(
                card.network, {name: card.latents[name] for name in card.predicted}
            )
            network.load_state_dict(state)
        except (SafetensorError, RuntimeError, KeyError) as error:
            raise _damaged(folder, str(error)) from error
        network.eval().requires_grad_(False).to(device)
        return cls(card, network, F.normalize(telltale, dim=0).to(device), sha256)


def read_card(folder: Path) -> PredictorCard:
    """What a predictor was made for, without its weights.

    Raises:
        WeightsError: it is not there, or not what it says.
    """
    return _read(folder)[0]


def save_predictor(
    folder: Path, card: PredictorCard, state: Mapping[str, Tensor], telltale: Tensor, **notes: Any
) -> None:
    """Write a predictor in half precision.

    Args:
        folder: where to; other files in it are kept.
        card: what it was made for.
        state: of its network.
        telltale: `telltale_of` its CLIP.
        notes: what else its config is to say, like the command that made it.
    """
    make_folder(folder)
    half = {
        name: value.detach().to("cpu", torch.float16).contiguous()
        for name, value in {**state, _TELLTALE_KEY: telltale}.items()
    }
    path = write_atomic(folder / MODEL, save(half, metadata={"format": "pt"}))
    config = {**asdict(card), **notes, "sha256": sha256_file(path)}
    write_atomic(folder / CONFIG, (json.dumps(config, indent=2) + "\n").encode())


def telltale_of(perceptor: Perceptor) -> Tensor:
    """What a CLIP says of a certain text, [d]."""
    return perceptor.encode_text([_TELLTALE])[0].float()


def _read(folder: Path) -> tuple[PredictorCard, str]:
    if not folder.is_dir():
        raise WeightsError(f"there is no folder {folder}; make a predictor: {_TRAIN}")
    for name in (CONFIG, MODEL):
        if not (folder / name).is_file():
            raise WeightsError(f"{folder} has no {name}, so it is no predictor; make one: {_TRAIN}")
    try:
        told = parse_json(read_text(folder / CONFIG))
        return _card(told), str(told["sha256"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(folder, f"{type(error).__name__}: {error}") from None


def _card(told: Any) -> PredictorCard:
    card = PredictorCard(
        generator=str(told["generator"]),
        option=tuple(map(str, told["option"])),
        size=(int(told["size"][0]), int(told["size"][1])),
        weights=str(told["weights"]),
        perceptor=str(told["perceptor"]),
        latents={str(k): tuple(map(int, shape)) for k, shape in told["latents"].items()},
        network=NetworkSizes(**{name: int(value) for name, value in told["network"].items()}),
        predicted=tuple(map(str, told["predicted"])),
    )
    figures = [*asdict(card.network).values(), *card.size]
    if not all(1 <= figure <= _LARGEST for figure in figures):
        raise ValueError(f"figures must be from 1 to {_LARGEST}")
    for name in card.predicted:
        if not card.latents[name] or torch.Size(card.latents[name]).numel() > MOST_NUMBERS:
            raise ValueError(f"{name} is too large")
    return card


def _damaged(folder: Path, why: str) -> WeightsError:
    why = " ".join(why.split())[:160]
    return WeightsError(f"{folder} is damaged ({why}); make or copy it again: {_TRAIN}")
