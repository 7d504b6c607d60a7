"""Teach the small text tower to give a sentence model's features.

The student sees each text and is pulled to the teacher's feature (cosine) and to the teacher's
similarities with the other texts of the batch (relational, a softmax over the batch).

Source: Hinton et al. 2015 (soft targets); Fang et al. 2021, SEED (similarities as targets).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from guidegen.training import checkpoint
from guidegen.training.clip import model as clip
from guidegen.training.schedule import warmup_cosine

Teacher = Callable[[list[str]], Tensor]
CHUNK = 4096


class TargetCache:
    """Texts and the teacher's features of them, on disk; filling it can be interrupted.

    Args:
        folder: holds `texts.json`, `features.npy` (float16) and `done.json` (how many are filled).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, texts: list[str], teacher: Teacher, width: int) -> None:
        """Compute what is missing; another list of texts starts over."""
        self.folder.mkdir(parents=True, exist_ok=True)
        listed, file = self.folder / "texts.json", self.folder / "features.npy"
        if listed.exists() and self.texts() == texts:
            done = int((self.folder / "done.json").read_text())
            features = np.lib.format.open_memmap(file, mode="r+")
        else:
            done = 0
            shape = (len(texts), width)
            features = np.lib.format.open_memmap(file, mode="w+", dtype=np.float16, shape=shape)
            (self.folder / "done.json").write_text("0")
            listed.write_text(json.dumps(texts))
        bar = tqdm(total=len(texts), initial=done, desc="teacher", unit="text", mininterval=5)
        for start in range(done, len(texts), CHUNK):
            part = texts[start : start + CHUNK]
            order = sorted(range(len(part)), key=lambda i: len(part[i]))  # little padding
            for i in range(0, len(part), 256):
                rows = order[i : i + 256]
                features[start + np.array(rows)] = teacher([part[j] for j in rows]).cpu().numpy()
                bar.update(len(rows))
            features.flush()
            (self.folder / "done.json").write_text(str(start + len(part)))
        bar.close()

    def texts(self) -> list[str]:
        """All texts, filled or not."""
        listed: list[str] = json.loads((self.folder / "texts.json").read_text())
        return listed

    def features(self) -> NDArray[np.float16]:
        """Float16 [n, width]."""
        loaded: NDArray[np.float16] = np.load(self.folder / "features.npy")
        return loaded


def start_from_words(model: Any, words: dict[int, int], features: Tensor) -> None:
    """Start the token embeddings of whole words from the teacher's features of the words.

    The features are rotated to their principal axes and cut to the tower's width; the text
    projection starts as the way back. So the tower begins as a bag of words that knows them all.

    Args:
        model: the student, changed in place.
        words: token id to row of `features`.
        features: [n, embed_dim].
    """
    sample = features[torch.randperm(len(features))[:20000]].float()
    axes = torch.linalg.svd(sample, full_matrices=False)[2][: model.token_embedding.embedding_dim]
    with torch.no_grad():
        rows = torch.tensor(list(words.values()))
        model.token_embedding.weight[torch.tensor(list(words))] = features[rows].float() @ axes.T
        model.text_projection.copy_(axes)


def length_batches(lengths: Tensor, size: int, seed: int) -> list[Tensor]:
    """Batches of row numbers for one pass, rows of similar length together, in random order."""
    rng = torch.Generator().manual_seed(seed)
    noisy = lengths + torch.rand(len(lengths), generator=rng) * 2
    batches = torch.split(noisy.argsort(), size)
    return [batches[i] for i in torch.randperm(len(batches), generator=rng).tolist()]


def distil_loss(student: Tensor, target: Tensor, *, temperature: float = 0.05) -> Tensor:
    """Cosine distance plus the divergence of in-batch similarities; both arguments [n, d]."""
    student = F.normalize(student.float(), dim=-1)
    ours = F.log_softmax(student @ target.T / temperature, dim=-1)
    theirs = F.log_softmax(target @ target.T / temperature, dim=-1)
    relational = F.kl_div(ours, theirs, reduction="batchmean", log_target=True)
    return 4 * (1 - (student * target).sum(-1).mean()) + relational


def distil(
    model: Any,
    tokens: Tensor,
    targets: NDArray[np.float16],
    *,
    steps: int,
    batch: int,
    lr: float,
    seed: int,
    state_file: Path,
    device: torch.device,
    save_every: int = 500,
) -> Iterator[tuple[int, float]]:
    """Train the text tower in place, from `state_file` if it exists; yields (step, loss)."""
    embedding = [model.token_embedding.weight]
    rest = [
        p
        for n, p in model.named_parameters()
        if n.startswith(clip.TEXT_KEYS) and n != "token_embedding.weight"
    ]
    optimizer = torch.optim.AdamW(
        [{"params": embedding, "weight_decay": 0.0}, {"params": rest, "weight_decay": 0.01}],
        lr=lr,
        betas=(0.9, 0.98),
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, warmup_cosine(steps, warmup=100))
    lengths = tokens.argmax(dim=1).float()
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    step = checkpoint.resume(state_file, parts)
    per_pass = -(-len(tokens) // batch)
    while step < steps:
        # The batches of a pass follow from its number alone, so a resumed run meets the same ones.
        for rows in length_batches(lengths, batch, seed + step // per_pass)[step % per_pass :]:
            ids = tokens[rows].to(device)
            target = torch.from_numpy(targets[rows.numpy()]).to(device).float()
            with torch.autocast(device.type, dtype=torch.bfloat16):
                student = clip.text_trunk(model, ids) @ model.text_projection
            loss = distil_loss(student, target)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(rest, 1.0)
            optimizer.step()
            schedule.step()
            step += 1
            if step % save_every == 0 or step == steps:
                checkpoint.save(state_file, parts, step)
            yield step, float(loss.detach())
            if step == steps:
                break


@dataclass(frozen=True)
class TextReport:
    """How close the student is to its teacher on texts it never saw.

    cosine: mean cosine to the teacher's feature of the same text.
    top1: share of texts whose nearest other text is the teacher's nearest, too.
    top1_in_10: share whose nearest is among the teacher's ten nearest.
    """

    cosine: float
    top1: float
    top1_in_10: float


@torch.inference_mode()
def compare(model: Any, tokens: Tensor, targets: NDArray[np.float16]) -> TextReport:
    """Compare student and teacher on held-out texts; both [n, ...], n at least 11."""
    device = model.text_projection.device
    parts = [clip.text_trunk(model, t.to(device)) for t in torch.split(tokens, 512)]
    student = F.normalize(torch.cat(parts) @ model.text_projection, dim=-1).float().cpu()
    target = torch.from_numpy(targets).float()
    ours = (student @ student.T).fill_diagonal_(-1).argmax(dim=1)
    theirs = (target @ target.T).fill_diagonal_(-1).topk(10, dim=1).indices
    return TextReport(
        cosine=float((student * target).sum(-1).mean()),
        top1=float((ours == theirs[:, 0]).float().mean()),
        top1_in_10=float((ours[:, None] == theirs).any(dim=1).float().mean()),
    )
