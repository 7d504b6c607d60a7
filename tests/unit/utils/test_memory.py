import os
import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
from guidegen.utils.memory import keep_large_buffers, return_large_buffers
done = keep_large_buffers() if sys.argv[1] != "plain" else False
if sys.argv[1] == "return":
    done = return_large_buffers()
for _ in range(3):
    bytearray(64 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    bytearray(b"x") * (64 << 20)
print(done, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def run(word, **more):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    out = subprocess.run(
        [sys.executable, "-c", SCRIPT, word], check=True, capture_output=True, text=True,
        env={**clean, **more},
    ).stdout  # fmt: skip
    done, faults = out.split()
    return done == "True", int(faults)


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="an option of glibc")
def test_large_buffers_come_without_page_faults():
    done, kept = run("keep")
    _, plain = run("plain")
    assert done
    assert plain > 5 * 64  # at least one a MiB, with huge pages of 1 MiB and less
    assert kept < plain / 10


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="an option of glibc")
def test_large_buffers_are_given_back_where_pictures_are_large():
    done, returned = run("return")
    assert done
    assert returned > 5 * 64


def test_an_allocator_that_the_user_set_up_stays():
    assert not run("keep", MALLOC_ARENA_MAX="2")[0]
