"""Classifiers on frozen features, from pictures in folders named like their labels.

Two kinds. "logistic" is the linear probe of CLIP's paper (Radford et al. 2021, section 3.2):
scikit-learn's logistic regression by L-BFGS. "cache" needs no training: what is near to known
pictures adds to what the label's words say (Zhang et al. 2022, Tip-Adapter, arXiv:2111.03930), so
that a few pictures of each label are of use.
"""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F

from guidegen.clip.perceptor import CLIPPerceptor
from guidegen.errors import ConfigError, WeightsError
from guidegen.utils.files import write_atomic
from guidegen.zero_shot.classify import Classification
from guidegen.zero_shot.labels import read_labels, text_classifier
from guidegen.zero_shot.models import open_clip_model
from guidegen.zero_shot.pictures import Pictures, encode, find_pictures, walk

Kind = Literal["logistic", "cache"]
# Inverse strength of the L2 penalty that CLIP's paper found for most data sets, and its iterations.
_C, _ITERATIONS = 0.316, 1000
# Tip-Adapter's alpha and beta, as its authors set them before any search.
_ALPHA, _BETA = 1.0, 5.5


@dataclass(frozen=True)
class Probe:
    """A classifier on the features of one CLIP.

    Attributes:
        kind: "logistic" or "cache".
        labels: K names.
        perceptor: the CLIP's name, as `--perceptor` takes it.
        digest: of its weights.
        weight: [K, d]; of a cache the words of the labels, at the model's temperature.
        bias: [K]; zeros in a cache.
        keys: [n, d] features of the known pictures of a cache; [0, d] otherwise.
        owners: [n] the label of each, as its number.
    """

    kind: Kind
    labels: tuple[str, ...]
    perceptor: str
    digest: str
    weight: Tensor
    bias: Tensor
    keys: Tensor
    owners: Tensor

    def logits(self, features: Tensor) -> Tensor:
        """[..., K] of features [..., d]; differentiable."""
        found = features @ self.weight.T + self.bias
        if len(self.keys):
            near = torch.exp(-_BETA * (1 - features @ self.keys.T))
            known = F.one_hot(self.owners, len(self.labels)).to(near.dtype)
            found = found + _ALPHA * near @ known
        return found


def train_probe(
    folder: Path | str,
    *,
    kind: Kind = "logistic",
    shots: int | None = None,
    c: float = _C,
    perceptor: str = "embedded",
    device: str = "auto",
    seed: int = 0,
) -> Probe:
    """Learn to tell labels apart from pictures in folders named like them.

    Args:
        folder: with a folder for each label.
        kind: "logistic" (many pictures) or "cache" (few).
        shots: pictures of each label to learn from, drawn at random; None takes all.
        c: inverse strength of the logistic regression's penalty.
        perceptor: the CLIP, as `--perceptor` takes it.
        device: auto, cpu, cuda, cuda:1 or mps.
        seed: of the draw.

    Raises:
        ConfigError: fewer than two labels with pictures, or scikit-learn is needed and not there.
        GuidegenError: a model or device that can't be used.
    """
    if kind not in get_args(Kind):
        raise ConfigError(f"a probe is {' or '.join(get_args(Kind))}, not {kind!r}")
    if kind == "logistic":
        _regression(c)
    chosen = draw(Path(folder), shots, seed)
    model = open_clip_model(perceptor, device)
    labels = tuple(chosen)
    features, owners = [], []
    owner = {path: number for number, paths in enumerate(chosen.values()) for path in paths}
    for each in encode(owner, model):
        if each.feature is not None:
            features.append(each.feature)
            owners.append(owner[each.path])
    if len(set(owners)) < 2:
        raise ConfigError(f"fewer than two labels of {folder} have pictures that can be read")
    return fit(torch.stack(features), torch.tensor(owners), labels, model, kind=kind, c=c)


def fit(
    features: Tensor,
    owners: Tensor,
    labels: tuple[str, ...],
    model: CLIPPerceptor,
    *,
    kind: Kind,
    c: float = _C,
) -> Probe:
    """Learn from features [n, d] and the number of each one's label [n]."""
    nothing = features[:0], owners[:0]
    if kind == "cache":
        weight = model.logit_scale * text_classifier(model, labels)
        bias, known = torch.zeros(len(labels)), (features, owners)
    else:
        learned = _regression(c).fit(features.numpy(), owners.numpy())
        weight = torch.full((len(labels), features.shape[1]), 0.0)
        bias = torch.full((len(labels),), -torch.inf)  # of labels without pictures
        rows = torch.from_numpy(learned.classes_).long()
        coefficients = torch.from_numpy(learned.coef_).float()
        intercepts = torch.from_numpy(learned.intercept_).float()
        if len(rows) == 2:  # one row tells the second from the first
            coefficients = torch.cat([-coefficients / 2, coefficients / 2])
            intercepts = torch.cat([-intercepts / 2, intercepts / 2])
        weight[rows], bias[rows], known = coefficients, intercepts, nothing
    return Probe(kind, labels, model.name, model.digest, weight, bias, *known)


def _regression(c: float) -> Any:
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        raise ConfigError(
            "a logistic probe needs scikit-learn: pip install 'guidegen[tool]', or take "
            "the kind cache",
            field="kind",
        ) from None
    return LogisticRegression(C=c, max_iter=_ITERATIONS)


def draw(folder: Path, shots: int | None, seed: int) -> dict[str, list[Path]]:
    """The pictures to learn from, by label.

    Raises:
        ConfigError: fewer than two labels, or no shots.
    """
    if shots is not None and shots < 1:
        raise ConfigError(
            f"learn from at least 1 picture of each label, not {shots}", field="shots"
        )
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder with a folder of pictures for each label")
    chosen = {label: walk(folder / label) for label in read_labels(folder)}
    chosen = {label: paths for label, paths in chosen.items() if paths}
    if len(chosen) < 2:
        raise ConfigError(f"{folder} needs at least two folders of pictures, named like the labels")
    rng = random.Random(seed)
    if shots is None:
        return chosen
    return {label: rng.sample(paths, min(shots, len(paths))) for label, paths in chosen.items()}


def apply_probe(
    probe: Probe, pictures: Pictures, *, top: int | None = None, device: str = "auto"
) -> Iterator[Classification]:
    """Say which of its labels each picture shows, each as soon as it is known.

    Raises:
        WeightsError: the CLIP of that name has other weights than the probe was trained with.
        GuidegenError: no pictures, or a model or device that can't be used.
    """
    paths = find_pictures(pictures)
    model = open_clip_model(probe.perceptor, device)
    if model.digest != probe.digest:
        raise WeightsError(
            f"the probe was trained on other weights of {probe.perceptor}; train it anew"
        )
    count = len(probe.labels) if top is None else min(top, len(probe.labels))
    for each in encode(paths, model):
        if each.feature is None:
            yield Classification(each.path, error=each.error)
            continue
        best = probe.logits(each.feature).softmax(-1).topk(count)
        names = tuple(probe.labels[index] for index in best.indices.tolist())
        yield Classification(each.path, names, tuple(best.values.tolist()))


def save_probe(probe: Probe, path: Path) -> Path:
    """Write a probe as safetensors.

    Raises:
        OutputError: it can't be written.
    """
    about = {
        "kind": probe.kind,
        "labels": json.dumps(probe.labels),
        "perceptor": probe.perceptor,
        "digest": probe.digest,
    }
    names = ("weight", "bias", "keys", "owners")
    tensors = {name: getattr(probe, name).contiguous() for name in names}
    return write_atomic(path, save(tensors, metadata=about))


def load_probe(path: Path) -> Probe:
    """Read a probe.

    Raises:
        WeightsError: there is none, or it is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            tensors = [file.get_tensor(name) for name in ("weight", "bias", "keys", "owners")]
        labels: Sequence[str] = json.loads(about["labels"])
        kind: Kind = "cache" if about["kind"] == "cache" else "logistic"
        if len(labels) != len(tensors[0]):
            raise ValueError("labels and weights do not belong together")
        return Probe(kind, tuple(labels), about["perceptor"], about["digest"], *tensors)
    except FileNotFoundError:
        raise WeightsError(f"there is no probe at {path}; train it: guidegen probe train") from None
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise WeightsError(f"{path} is no probe, or damaged: {error}") from None
