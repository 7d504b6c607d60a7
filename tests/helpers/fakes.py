"""A perceptor so small that its answers can be worked out by hand."""

import torch
import torch.nn.functional as F


class TinyPerceptor:
    """Features are the mean colours of a 2x2 grid, pushed through a fixed random rotation.

    Text "r,g,b" means a picture of that colour; other texts hash to a fixed direction.
    """

    name = "tiny"
    digest = "tiny-digest"
    input_size = 16

    def __init__(self):
        self.looks = 0
        rng = torch.Generator().manual_seed(0)
        self.mix = torch.linalg.qr(torch.randn(12, 12, generator=rng)).Q

    def encode_image(self, images):
        self.looks += len(images)
        assert images.shape[-2:] == (16, 16)
        cells = F.adaptive_avg_pool2d(images - 0.5, 2).flatten(1)
        return F.normalize(cells @ self.mix + 1e-4, dim=1)

    def encode_text(self, texts):
        rows = []
        for text in texts:
            try:
                colour = torch.tensor([float(part) for part in text.split(",")])
            except ValueError:
                seed = sum(ord(c) * (i + 1) for i, c in enumerate(text))
                colour = torch.rand(3, generator=torch.Generator().manual_seed(seed))
            rows.append(colour.view(3, 1, 1).expand(3, 16, 16))
        looks = self.looks
        out = self.encode_image(torch.stack(rows))
        self.looks = looks
        return out
