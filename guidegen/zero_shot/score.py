"""How well pictures fit their prompts, under any CLIPs, for pictures of any origin."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

import torch
from torch import Tensor

from guidegen.clip.perceptor import CLIPPerceptor
from guidegen.errors import ConfigError, GuidegenError, InputImageError
from guidegen.media.files import opened
from guidegen.prompt.grammar import parse_scenes
from guidegen.runs import metadata
from guidegen.zero_shot.ignore_text import wordless
from guidegen.zero_shot.labels import read_template, text_classifier
from guidegen.zero_shot.models import open_clip_model
from guidegen.zero_shot.pictures import Pictures, Prepare, encode, find_pictures

# Where programs write the prompt: AUTOMATIC1111's web UI and its kin in a PNG or in EXIF.
_PARAMETERS = "parameters"
# Its last line holds "Steps: 20, Sampler: Euler, ..."; fewer than three are part of the prompt.
_SETTING, _SETTINGS = re.compile(r"(?:^|, )[A-Z][\w /-]*: "), 3
_USER_COMMENT, _EXIF_IFD = 0x9286, 0x8769


@dataclass(frozen=True)
class Score:
    """How well one picture fits its prompt.

    Attributes:
        path: of the file.
        prompt: what it is compared with.
        similarity: cosine to the prompt's feature, by the name of each CLIP.
        rank: place of its own prompt among all that were compared, 1 for the first, by CLIP; empty
            where there is one prompt only.
        error: why there is no score, in one line.
    """

    path: Path
    prompt: str = ""
    similarity: dict[str, float] = field(default_factory=dict)
    rank: dict[str, int] = field(default_factory=dict)
    error: str = ""


def score(
    pictures: Pictures,
    prompt: str | None = None,
    *,
    among: Sequence[str] = (),
    template: str = "",
    perceptors: Sequence[str] = ("embedded",),
    ignore_text: bool = False,
    device: str = "auto",
) -> list[Score]:
    """Say how well each picture fits its prompt.

    Args:
        pictures: files and folders.
        prompt: what all of them should show; None reads each one's from its metadata.
        among: further prompts that each picture is ranked against.
        template: words around each prompt, like "a photo of {}", or "imagenet".
        perceptors: CLIPs; one that did not guide the picture is the fairer judge.
        ignore_text: paint over the words that are written on the pictures; needs `guidegen[ocr]`.
        device: auto, cpu, cuda, cuda:1 or mps.

    Returns:
        One for each picture.

    Raises:
        GuidegenError: a template, model or device that can't be used, or no pictures.
    """
    read_template(template)
    prepare = wordless(ignore_text)
    paths = find_pictures(pictures)
    if len(set(perceptors)) != len(perceptors) or not perceptors:
        raise ConfigError("name each perceptor once")
    found = {path: _with_prompt(path, prompt) for path in paths}
    known = [path for path, each in found.items() if not each.error]
    texts = list(dict.fromkeys([*(found[path].prompt for path in known), *map(plain, among)]))
    for spec in perceptors:
        _add(found, known, texts, open_clip_model(spec, device), spec, template, prepare)
    return [found[path] for path in paths]


def _add(
    found: dict[Path, Score],
    paths: list[Path],
    texts: list[str],
    model: CLIPPerceptor,
    spec: str,
    template: str,
    prepare: Prepare | None,
) -> None:
    """Add the figures of one CLIP."""
    if not texts:
        return
    features = text_classifier(model, texts, template)
    for each in encode(paths, model, prepare=prepare):
        before = found[each.path]
        if each.feature is None:
            found[each.path] = Score(each.path, before.prompt, error=each.error)
            continue
        similarities = features @ each.feature
        own = texts.index(before.prompt)
        before.similarity[spec] = float(similarities[own])
        if len(texts) > 1:
            before.rank[spec] = rank(similarities, own)


def rank(similarities: Tensor, own: int) -> int:
    """The place of one among all, 1 for the highest; equal ones share the worse place."""
    return int((similarities >= similarities[own]).sum())


def r_precision(found: Sequence[Score]) -> dict[str, float]:
    """Share of pictures whose own prompt fits best among all, by CLIP.

    Source: Park et al. 2021, "Benchmark for compositional text-to-image synthesis", R-precision
    with CLIP.
    """
    ranks: dict[str, list[int]] = {}
    for each in found:
        for spec, place in each.rank.items():
            ranks.setdefault(spec, []).append(place)
    return {
        spec: float(torch.tensor([place == 1 for place in places]).float().mean())
        for spec, places in ranks.items()
    }


def _with_prompt(path: Path, prompt: str | None) -> Score:
    """A score that knows its prompt only, or why there is none."""
    try:
        return Score(path, plain(read_prompt(path) if prompt is None else prompt))
    except GuidegenError as error:
        return Score(path, error=str(error))


def plain(prompt: str) -> str:
    """What a prompt wants, without weights, stops and what it pushes away.

    >>> plain("a red apple:2 | fog:-0.5")
    'a red apple'
    """
    try:
        scenes = parse_scenes(prompt)
    except ConfigError:  # of another program's grammar
        return prompt.strip()
    texts = [part.text for part in scenes[-1] if part.weight > 0]
    return ", ".join(texts) or prompt.strip()


def read_prompt(path: Path) -> str:
    """The prompt that a picture's file tells, ours or that of AUTOMATIC1111's web UI and its kin.

    Raises:
        InputImageError: the picture can't be read.
        ConfigError: it tells no prompt.
    """
    with suppress(InputImageError):
        return metadata.read(path).config.prompt
    with opened(path, "picture") as image:
        image.load()
        texts = {**image.info, **getattr(image, "text", {})}
        found = texts.get(_PARAMETERS)
        comment = image.getexif().get_ifd(_EXIF_IFD).get(_USER_COMMENT)
    if found is None and isinstance(comment, bytes):
        # eight bytes name the encoding
        kind, rest = comment[:8].strip(b"\0"), comment[8:]
        found = rest.decode("utf-16-be" if kind == b"UNICODE" else "utf-8", "replace")
    if not isinstance(found, str) or not found.strip():
        raise ConfigError(f"{path} does not tell it; give one, like 'a red apple'", field="prompt")
    lines = found.strip().splitlines()
    if len(_SETTING.findall(lines[-1])) >= _SETTINGS:
        lines.pop()
    wanted = takewhile(lambda line: not line.startswith("Negative prompt:"), lines)
    return "\n".join(wanted).strip()
