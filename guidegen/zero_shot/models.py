"""Loaded CLIPs, kept for the next call."""

from functools import lru_cache

from guidegen.clip.perceptor import CLIPPerceptor, load_perceptor
from guidegen.engine.resolve import choose_device


def open_clip_model(spec: str = "embedded", device: str = "auto") -> CLIPPerceptor:
    """A CLIP by its name.

    Args:
        spec: as `--perceptor` takes it, without a weight: "embedded", "ViT-B-32/openai"...
        device: auto, cpu, cuda, cuda:1 or mps.

    Raises:
        ConfigError: there is no such device here.
        UnknownNameError: no such model or tag.
        WeightsError: weights that are missing, can't be fetched, or do not fit the model.
    """
    return _load(spec, choose_device(device))


@lru_cache(maxsize=2)
def _load(spec: str, device: str) -> CLIPPerceptor:
    return load_perceptor(spec, device=device)
