"""The modules of the packages whose weights we read, under the names that they give them."""

import contextlib
import io
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


class TamingVQGAN(nn.Module):
    """The parts of a `VQModel` or `GumbelVQ` that draw; random weights.

    Args:
        config: "kind", "embed_dim", "n_embed" and "ddconfig" (see taming's `Encoder`).

    Raises:
        ValueError: no such kind; taming and torch raise others for figures that do not fit.

    Source: Esser, Rombach & Ommer 2021 (arXiv:2012.09841), repository CompVis/taming-transformers.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        # `taming.models` does not import with today's Lightning; its modules do
        from taming.modules.diffusionmodules.model import Decoder, Encoder
        from taming.modules.vqvae.quantize import GumbelQuantize, VectorQuantizer2

        dd, width, codes = config["ddconfig"], config["embed_dim"], config["n_embed"]
        self.gumbel = config["kind"] == "GumbelVQ"
        if not self.gumbel and config["kind"] != "VQModel":
            raise ValueError(f"kind {config['kind']!r} is neither VQModel nor GumbelVQ")
        with contextlib.redirect_stdout(io.StringIO()):  # the decoder prints its shape
            self.encoder: nn.Module = Encoder(**dd)
            self.decoder: nn.Module = Decoder(**dd)
        self.quantize: Any = (
            GumbelQuantize(dd["z_channels"], width, n_embed=codes)
            if self.gumbel
            else VectorQuantizer2(codes, width, beta=0.25)
        )
        self.quant_conv = nn.Conv2d(dd["z_channels"], width, 1)
        self.post_quant_conv = nn.Conv2d(width, dd["z_channels"], 1)

    @property
    def codebook(self) -> Tensor:
        """[K, C]."""
        table = self.quantize.embed if self.gumbel else self.quantize.embedding
        weight: Tensor = table.weight
        return weight


def biggan(config: Mapping[str, Any]) -> Any:
    """`pytorch_pretrained_biggan`'s BigGAN-deep; random weights, some as memory had them."""
    # importing `model` runs the package's `__init__`, which needs scipy
    from pytorch_pretrained_biggan.config import BigGANConfig
    from pytorch_pretrained_biggan.model import BigGAN

    return BigGAN(BigGANConfig.from_dict(dict(config)))
