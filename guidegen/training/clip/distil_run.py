"""The `distil` command: corpus, teacher's features, student, report."""

from __future__ import annotations

import logging
from pathlib import Path

import open_clip
import torch
from tqdm import tqdm

from guidegen.training.clip import distil
from guidegen.training.clip import model as clip
from guidegen.training.clip.teacher import PACKAGE, SentenceTeacher, package_folder
from guidegen.training.data import corpus
from guidegen.training.data.dataset import CaptionedImages
from guidegen.training.device import choose

log = logging.getLogger(__name__)
HELD_OUT = 4096


def run(
    data: Path,
    out: Path,
    *,
    cache: Path,
    wordnet: Path | None,
    teacher: Path | None,
    sentences: int,
    glosses: int,
    steps: int,
    batch: int,
    lr: float,
    seed: int,
    device: str,
) -> distil.TextReport:
    """See `guidegen.training.clip_commands.distil` for the arguments."""
    where = choose(device)
    tokenizer = clip.new_tokenizer()
    texts = corpus.build_corpus(
        CaptionedImages(data).records,
        corpus.read_wordnet(wordnet) if wordnet else None,
        clip.word_tokens(tokenizer),
        [name.lower() for name in open_clip.IMAGENET_CLASSNAMES],
        sentences=sentences, glosses=glosses, seed=0,
    )  # fmt: skip
    log.info("%d texts", len(texts))
    sentence_model = SentenceTeacher(teacher or package_folder(PACKAGE) / "model", where)
    targets = distil.TargetCache(cache)
    targets.fill(texts, sentence_model, sentence_model.width)
    features = targets.features()
    tokens = clip.tokenize(tokenizer, texts)
    held = min(HELD_OUT, len(texts) // 10)

    torch.manual_seed(seed)
    model = clip.new_model()
    words = clip.word_tokens(tokenizer)
    seen = {words[t]: i for i, t in enumerate(texts[:-held]) if t in words}
    distil.start_from_words(model, seen, torch.from_numpy(features[:-held]))
    model = model.to(where)
    losses = distil.distil(
        model, tokens[:-held], features[:-held], steps=steps, batch=batch, lr=lr, seed=seed,
        state_file=cache / f"student-{seed}.pt", device=where,
    )  # fmt: skip
    mean = 0.0
    bar = tqdm(total=steps, desc="distil", unit="step", mininterval=5)
    for step, loss in losses:
        mean = 0.98 * mean + 0.02 * loss if mean else loss
        bar.update(step - bar.n)
        bar.set_postfix(loss=f"{mean:.3f}", refresh=False)
        if step % 500 == 0:
            log.info("step %d loss %.4f %s", step, mean,
                     distil.compare(model, tokens[-held:], features[-held:]))  # fmt: skip
    clip.save_model(model, out)
    return distil.compare(model, tokens[-held:], features[-held:])
