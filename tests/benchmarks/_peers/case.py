"""A case of the comparison, and the random weights that all contenders share."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

CLIP = "ViT-B-32-quickgelu"


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        generator: a published model, as `--generator` takes it.
        size: side of the picture in pixels.
        cutouts: views a step.
    """

    generator: str
    size: int
    cutouts: int

    @property
    def name(self) -> str:
        return f"{self.generator} {self.size} px, ViT-B/32, {self.cutouts} cutouts"

    @property
    def peer(self) -> str:
        return "big-sleep" if self.generator.startswith("biggan/") else "VQGAN-CLIP"


CASES = (
    Case("biggan/deep-256", 256, 32),
    Case("biggan/deep-512", 512, 32),
    Case("vqgan/imagenet-f16-16384", 256, 32),
    Case("biggan/deep-256", 256, 128),
    Case("biggan/deep-512", 512, 128),
)


@dataclass(frozen=True)
class Contest:
    """What a contender's process is told.

    Attributes:
        contender: "ours", "big-sleep" or "VQGAN-CLIP".
        case: what to run.
        folder: of the weights.
        precision: "default" (ours: auto), "fp32" or "bf16".
        device: where to compute.
        threads: of a CPU; 0 leaves PyTorch's own number.
        big_sleep: folder that holds the package of that name.
        vqgan_clip: clone of nerdyrodent/VQGAN-CLIP.
        extra: folder of packages that the peers want (kornia).
    """

    contender: str
    case: Case
    folder: Path
    precision: str
    device: str
    threads: int = 0
    big_sleep: str = ""
    vqgan_clip: str = ""
    extra: str = ""

    def dump(self) -> str:
        return json.dumps(asdict(self), default=str)

    @staticmethod
    def read(text: str) -> "Contest":
        data = json.loads(text)
        return Contest(**{**data, "case": Case(**data["case"]), "folder": Path(data["folder"])})


def make_weights(folder: Path, generators: set[str]) -> None:
    """Random weights of the published shapes, in guidegen's layout; once per folder."""
    from guidegen.weights.catalog import read_registry
    from guidegen.weights.store import sha256_file
    from tests.helpers.synthetic import settled_biggan_state, vqgan_state

    _make_clip(folder / "clip")
    for name in sorted(generators):
        target = folder / "weights" / name
        if (target / "source.json").exists():
            continue
        config = dict(read_registry().checkpoints[name].config)
        state = settled_biggan_state(config) if name.startswith("biggan/") else vqgan_state(config)
        for key, value in state.items():
            if key.endswith("gamma"):
                # zero would let somebody leave out the attention
                value.fill_(0.5)
        _normalise(state)
        from safetensors.torch import save_file

        target.mkdir(parents=True, exist_ok=True)
        state = {k: v.detach().clone().contiguous() for k, v in state.items()}
        save_file(state, target / "model.safetensors")
        (target / "config.json").write_text(json.dumps(config))
        source = {"sha256": sha256_file(target / "model.safetensors"), "source": "random"}
        (target / "source.json").write_text(json.dumps({**source, "licence": "none"}))


def _normalise(state: Any) -> None:
    """Spectral norms that are those of the weights, so that no random picture overflows."""
    from torch.nn.functional import normalize

    for key in [key for key in state if key.endswith("weight_orig")]:
        matrix = state[key].flatten(1)
        u, v = state[key[:-4] + "u"], state[key[:-4] + "v"]
        for _ in range(10):
            v.copy_(normalize(matrix.T @ u, dim=0))
            u.copy_(normalize(matrix @ v, dim=0))


def _make_clip(folder: Path) -> None:
    import open_clip
    import torch
    from safetensors.torch import save_file

    if (folder / "open_clip_config.json").exists():
        return
    torch.manual_seed(0)
    model = open_clip.create_model(CLIP, pretrained=None)
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.detach().clone().contiguous() for k, v in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    config = {
        "model_cfg": open_clip.get_model_config(CLIP),
        "preprocess_cfg": {
            "mean": list(open_clip.OPENAI_DATASET_MEAN),
            "std": list(open_clip.OPENAI_DATASET_STD),
            "interpolation": "bicubic",
            "resize_mode": "shortest",
        },
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config))
