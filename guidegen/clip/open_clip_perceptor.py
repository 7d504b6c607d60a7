"""An open_clip model as a `Perceptor`."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from guidegen.clip.fused import is_convolutional, quickened
from guidegen.interfaces import Images
from guidegen.precision import Arithmetic, autocast
from guidegen.weights.open_clip_weights import square_side

# More texts than this are a vocabulary: encoded in chunks and not remembered one by one.
_FEW, _CHUNK, _REMEMBERED = 64, 256, 4096


class CLIPPerceptor:
    """An open_clip model as a `Perceptor`: frozen, in evaluation mode.

    Attributes:
        name: the spec it was loaded from.
        digest: SHA-256 over its weights, in hex.
        input_size: side in pixels of its square input.
        context_length: tokens of a text that it reads, start and end included.
        arithmetic: of the image tower; text is always float32.
        precision: its type.
        device: where it computes.
        logit_scale: what cosine similarities are multiplied by before a softmax, as it was trained.
        resize_mode: how it was trained to make pictures square: "shortest" (the middle), "longest"
            (padded) or "squash".
        interpolation: how it was trained to resize them: "bicubic" or "bilinear".
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        name: str,
        digest: str,
        device: torch.device | str = "cpu",
        arithmetic: Arithmetic | None = None,
    ) -> None:
        arithmetic = arithmetic or Arithmetic(torch.float32, is_convolutional(model.visual))
        self.arithmetic = arithmetic
        self.name = name
        self.digest = digest
        self.device = torch.device(device)
        self.precision = arithmetic.dtype
        self.context_length = int(tokenizer.context_length)
        self._tokenizer = tokenizer
        self._model = model.eval().requires_grad_(False).to(self.device)
        self._format = torch.channels_last if arithmetic.channels_last else torch.contiguous_format
        model.visual.to(memory_format=self._format)
        # in place of the old one, whose weights would only take memory
        model.visual = quickened(model.visual, device=self.device, precision=self.precision)
        preprocess = model.visual.preprocess_cfg
        self.input_size = square_side(preprocess["size"])
        self.logit_scale = float(model.logit_scale.exp())
        self.resize_mode = str(preprocess["resize_mode"])
        self.interpolation = "bilinear" if preprocess["interpolation"] == "bilinear" else "bicubic"
        shape = (1, 3, 1, 1)
        self._mean = torch.tensor(preprocess["mean"], device=self.device).view(shape)
        self._std = torch.tensor(preprocess["std"], device=self.device).view(shape)
        self._remembered: dict[str, Tensor] = {}

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Features [n, d], float32, unit norm, without gradient.

        Up to 64 texts are encoded one by one and remembered, so that the last bits of a feature
        do not depend on what else is asked for; more are encoded in chunks.
        """
        if len(texts) > _FEW:
            parts = [texts[i : i + _CHUNK] for i in range(0, len(texts), _CHUNK)]
            return torch.cat([self._encode_text(part) for part in parts])
        if not texts:
            return self.encode_text([""])[:0]
        found = {}
        for text in texts:
            if text not in self._remembered:
                self._remembered[text] = self._encode_text([text])[0]
            found[text] = self._remembered[text]
        while len(self._remembered) > _REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        return torch.stack([found[text] for text in texts])

    @torch.no_grad()
    def _encode_text(self, texts: Sequence[str]) -> Tensor:
        tokens = self._tokenizer(list(texts)).to(self.device)
        with torch.autocast(self.device.type, enabled=False):
            return F.normalize(self._model.encode_text(tokens).float(), dim=-1)

    def encode_image(self, images: Images) -> Tensor:
        """Features [n, d], float32, unit norm, differentiable in the images.

        Args:
            images: [n, 3, h, w] floats in [0, 1], any size. Other sizes than `input_size` are
                resized with antialiasing; of what is not square the middle is seen, or the whole
                is squashed, as the model was trained.
        """
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise ValueError(f"images must be floats [n, 3, h, w], not {tuple(images.shape)}")
        images = (self._resized(images.float()) - self._mean) / self._std
        images = images.contiguous(memory_format=self._format)
        with autocast(self.device, self.precision):
            features = self._model.encode_image(images)
        return F.normalize(features.float(), dim=-1)

    def _resized(self, images: Images) -> Images:
        height, width = images.shape[-2:]
        if height != width and self.resize_mode != "squash":
            side = min(height, width)
            top, left = (height - side) // 2, (width - side) // 2
            images = images[..., top : top + side, left : left + side]
        size = (self.input_size, self.input_size)
        if images.shape[-2:] == size:
            return images
        return F.interpolate(images, size, mode=self.interpolation, antialias=True)

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, start and end included."""
        if hasattr(self._tokenizer, "encode"):
            return len(self._tokenizer.encode(text)) + 2
        return len(self._tokenizer.tokenizer(text)["input_ids"])  # open_clip's HFTokenizer
