"""Linear heads on a CLIP's features, from a file of the user: a score to raise, a label to show."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor

from guidegen.backend import LossInfo
from guidegen.errors import ConfigError, WeightsError, about
from guidegen.interfaces import LossContext, Viewed


@dataclass(frozen=True)
class Head:
    """Scores of features: `features @ weight.T + bias`.

    Attributes:
        weight: [K, d].
        bias: [K].
        labels: the K names; empty where the file has none.
        perceptor: name of the CLIP that it was trained on; "" where the file doesn't say.
        digest: of that CLIP's weights; "" where the file doesn't say.
    """

    weight: Tensor
    bias: Tensor
    labels: Sequence[str] = ()
    perceptor: str = ""
    digest: str = ""


@dataclass(frozen=True)
class Score:
    """Minus the score of each view.

    Attributes:
        head: with one row.
        perceptor: the CLIP whose features it reads.

    Source: repository LAION-AI/aesthetic-predictor, a linear layer on CLIP's features whose scores
    go from about 1 to 10.
    """

    head: Head
    perceptor: str

    def view_loss(self, viewed: Viewed) -> Tensor | None:
        """Loss [m]; see `guidegen.interfaces.ViewLoss`."""
        if viewed.perceptor.name != self.perceptor:
            return None
        return -F.linear(viewed.features, self.head.weight, self.head.bias)[:, 0]


@dataclass(frozen=True)
class Label:
    """Cross-entropy of each view and a label, as a classifier that guides.

    Attributes:
        head: with a row for each label.
        row: that of the label to show.
        perceptor: the CLIP whose features it reads.
    """

    head: Head
    row: int
    perceptor: str

    def view_loss(self, viewed: Viewed) -> Tensor | None:
        """Loss [m]; see `guidegen.interfaces.ViewLoss`."""
        if viewed.perceptor.name != self.perceptor:
            return None
        logits = F.linear(viewed.features, self.head.weight, self.head.bias)
        return -logits.log_softmax(1)[:, self.row]


def read_head(path: Path) -> Head:
    """A head from a safetensors file.

    Its tensors are called `weight` [K, d] and `bias` [K], or end so; the bias may be left out.
    A probe of `guidegen probe --kind logistic` is one, and so is a linear layer's state.

    Raises:
        WeightsError: there is no file, or it holds something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            names = file.keys()
            tensors = {name.rpartition(".")[2]: file.get_tensor(name) for name in names}
            labels = json.loads(about.get("labels", "[]"))
    except FileNotFoundError:
        raise WeightsError(f"there is no head at {path}") from None
    except (OSError, SafetensorError, ValueError) as error:
        raise WeightsError(f"{path} is no head in safetensors: {error}") from None
    if about.get("kind") == "cache":
        raise WeightsError(
            f"{path} is a probe of the kind cache, which is no linear head; train a logistic one"
        )
    weight = tensors.get("weight")
    if weight is None or weight.dim() != 2:
        raise WeightsError(f"{path} has no tensor weight [K, d], so it is no linear head")
    bias = tensors.get("bias", weight.new_zeros(len(weight)))
    if bias.shape != (len(weight),) or len(labels) not in (0, len(weight)):
        raise WeightsError(f"{path}: weight, bias and labels do not belong together")
    perceptor, digest = about.get("perceptor", ""), about.get("digest", "")
    return Head(weight.float(), bias.float(), labels, perceptor, digest)


def check_aesthetics(options: Mapping[str, Any]) -> None:
    """Refuse what is no head with one score."""
    with about("loss_option"):
        if not options["head"]:
            raise ConfigError(
                "aesthetics needs a linear head: aesthetics.head=PATH, a safetensors file with "
                "weight [1, d] and bias [1] on a CLIP's features"
            )
        rows = len(read_head(Path(options["head"])).weight)
        if rows != 1:
            raise ConfigError(f"{options['head']} has {rows} outputs; aesthetics needs one score")


def build_aesthetics(info: LossInfo, context: LossContext) -> Score:
    """Entry point; see `guidegen.backend.LossInfo`."""
    head, name = _on_device(read_head(Path(context.options["head"])), context)
    return Score(head, name)


def check_probe(options: Mapping[str, Any]) -> None:
    """Refuse what is no head, and a label that it has not."""
    with about("loss_option"):
        if not (options["head"] and options["label"]):
            raise ConfigError(
                "probe needs a probe and one of its labels: probe.head=PATH and probe.label=NAME"
            )
        _row(read_head(Path(options["head"])), options)


def build_probe(info: LossInfo, context: LossContext) -> Label:
    """Entry point; see `guidegen.backend.LossInfo`."""
    head = read_head(Path(context.options["head"]))
    row = _row(head, context.options)
    head, name = _on_device(head, context)
    return Label(head, row, name)


def _row(head: Head, options: Mapping[str, Any]) -> int:
    if options["label"] not in head.labels:
        known = ", ".join(head.labels[:12]) or "none"
        raise ConfigError(f"{options['head']} knows no label {options['label']!r}; it has {known}")
    return head.labels.index(options["label"])


def _on_device(head: Head, context: LossContext) -> tuple[Head, str]:
    """The head where its CLIP computes, and that CLIP's name.

    Raises:
        ConfigError: none of the run's CLIPs has such features.
    """
    for perceptor, _ in context.perceptors:
        features = perceptor.encode_text(["a"])
        known = not head.perceptor or (perceptor.name, perceptor.digest) == (
            head.perceptor,
            head.digest,
        )
        if known and features.shape[1] == head.weight.shape[1]:
            weight, bias = head.weight.to(features), head.bias.to(features)
            return Head(weight, bias, head.labels, head.perceptor, head.digest), perceptor.name
    wanted = head.perceptor or f"a CLIP with {head.weight.shape[1]} features"
    names = ", ".join(perceptor.name for perceptor, _ in context.perceptors)
    raise ConfigError(f"the head was trained on {wanted}, not on {names}", field="perceptor")
