"""R-precision: does a CLIP that never guided rank the right prompt first?

    python tests/benchmarks/r_precision.py [--judge DIR] [--seed 0] [--out DIR]

Makes a picture for each of the 64 prompts of rprecision_prompts.txt with the defaults, then asks
the judge, a second CLIP that was trained from another seed and on other drawings, which of the 64
prompts fits each picture best (Park et al. 2021, "Benchmark for Compositional Text-to-Image
Synthesis").
"""

import argparse
from pathlib import Path

import torch
from torchvision.transforms.functional import pil_to_tensor

from guidegen.clip.perceptor import load_ensemble
from guidegen.clip.templates import encode_prompt
from guidegen.config import make_config
from guidegen.engine.generate import generate

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--judge", default=f"local-dir:{HERE / 'judge'}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("outputs"))
    args = parser.parse_args()
    lines = (HERE / "rprecision_prompts.txt").read_text().splitlines()
    prompts = [line for line in lines if line and not line.startswith("#")]
    ((judge, _),) = load_ensemble((args.judge,), device="cpu", precision="fp32")
    texts = torch.stack([encode_prompt(judge, prompt, "") for prompt in prompts])
    configs = [make_config({"prompt": p, "seed": args.seed, "out": args.out}) for p in prompts]
    right = 0
    for picture in generate(configs):
        image = pil_to_tensor(picture.image)[None].float() / 255
        with torch.no_grad():
            scores = (judge.encode_image(image) @ texts.T)[0]
        best = prompts[int(scores.argmax())]
        right += best == picture.config.prompt
        if best != picture.config.prompt:
            place = int((scores > scores[prompts.index(picture.config.prompt)]).sum()) + 1
            print(
                f"MISS {picture.config.prompt!r}: judge says {best!r}; right one is number {place}"
            )
    print(f"R-precision {right} of {len(prompts)} = {right / len(prompts):.1%} (target 80 %)")


if __name__ == "__main__":
    main()
