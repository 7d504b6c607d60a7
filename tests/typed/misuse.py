"""What a type checker must refuse: each line that says so at its end, for its reason."""

from torch import Tensor

import guidegen
from guidegen.backend import GeneratorInfo
from guidegen.interfaces import Decoded, Generator, ImageLoss


def misuse(picture: guidegen.Picture, step: guidegen.StreamStep) -> None:
    guidegen.generate("a red apple", steps="many")  # refused: call-overload
    guidegen.generate("a red apple", stepz=3)  # refused: call-overload
    guidegen.generate(prompt=7)  # refused: call-overload
    guidegen.stream(["a", "list"])  # refused: arg-type
    guidegen.classify("a.png", 7)  # refused: arg-type
    print(picture.pixels)  # refused: attr-defined
    step.index = 3  # refused: misc
    path: str = guidegen.generate("a red apple").path  # refused: assignment
    print(path)
    guidegen.generate("a fox", recorders=[print_it])  # refused: list-item


def print_it(step: int) -> None: ...


class NoDecode:
    """Lacks what a generator must have."""

    info: GeneratorInfo
    size: tuple[int, int]

    def decode(self, latents: dict[str, Tensor]) -> Tensor:
        return latents["x"]


class BadLoss:
    def image_loss(self, decoded: Decoded) -> float:
        return 0.0


GENERATOR: Generator = NoDecode()  # refused: assignment
LOSS: ImageLoss = BadLoss()  # refused: assignment
