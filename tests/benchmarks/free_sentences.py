"""Free sentences against the collage's patches: is a right one among the first five?

    python tests/benchmarks/free_sentences.py [--perceptor SPEC]

The sentences and the concepts that would be right (free_sentences.jsonl) were written and committed
before any model was trained. A patch is right if its name holds one of the concepts as whole words.
"""

import argparse
import json
from pathlib import Path

from guidegen.clip.perceptor import load_ensemble
from guidegen.guidance.starts.search import rank
from guidegen.registry import find


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--perceptor", default="embedded")
    args = parser.parse_args()
    rows = [
        json.loads(line)
        for line in Path(__file__).with_name("free_sentences.jsonl").read_text().splitlines()
    ]
    backend, variant = find("collage")
    vocabulary = backend.load(variant, size=(512, 512), device="cpu").vocabulary
    ensemble = load_ensemble((args.perceptor,), device="cpu", precision="fp32")
    names = [entry.name for entry in vocabulary.entries]
    sentences = [row["sentence"] for row in rows]
    scores = rank(ensemble, vocabulary, lambda p: p.encode_text(sentences), len(sentences))
    hits = 0
    for row, score in zip(rows, scores, strict=True):
        first = [names[i] for i in score.topk(5).indices.tolist()]
        hit = any(f" {c} " in f" {name.lower()} " for name in first for c in row["concepts"])
        hits += hit
        print("ok  " if hit else "MISS", row["sentence"], "->", "; ".join(first))
    print(f"{hits} of {len(rows)} = {hits / len(rows):.1%} (target 85 %)")


if __name__ == "__main__":
    main()
