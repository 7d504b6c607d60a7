"""What the tests on Ray share."""

import os

import pytest
import torch

# One way of authentication for all: a process keeps to the first that it saw.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", "0" * 64)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As the workers have; the number of threads can change the last bits of a sum."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
