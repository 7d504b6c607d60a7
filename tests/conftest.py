"""What all tests share: GPU tests skip without a GPU, and a run says what it left out."""

from collections import Counter

import pytest

LEFT_OUT = pytest.StashKey[Counter]()
MARKERS = ("slow", "ray", "browser")


def pytest_configure(config):
    config.stash[LEFT_OUT] = Counter()


def pytest_collection_modifyitems(items):
    if not any(item.get_closest_marker("gpu") for item in items):
        return
    import torch

    if not torch.cuda.is_available():
        skip = pytest.mark.skip(reason="needs a CUDA device")
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(skip)


def pytest_deselected(items):
    for item in items:
        name = next((name for name in MARKERS if item.get_closest_marker(name)), None)
        if name:
            item.config.stash[LEFT_OUT][name] += 1


def pytest_terminal_summary(terminalreporter, config):
    counts = config.stash[LEFT_OUT]
    if counts:
        parts = ", ".join(f"{counts[name]} {name}" for name in MARKERS if counts[name])
        terminalreporter.write_line(
            f'left out {counts.total()} tests ({parts}); all of them: pytest -m ""'
        )
