import os
import subprocess
import sys

import pytest

from guidegen.utils.threads import cpu_model, prepare, reproducible_branch


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        ({"avx2", "avx512f"}, "AVX512,STRICT"),
        ({"avx2"}, "AVX2,STRICT"),
        ({"neon"}, "AUTO"),
        (set(), "AUTO"),
    ],
)
def test_the_widest_branch_that_the_processor_has_is_made_strict(flags, wanted):
    assert reproducible_branch(frozenset(flags)) == wanted


def test_what_the_user_has_set_stays():
    own = {"MKL_CBWR": "COMPATIBLE", "GOMP_SPINCOUNT": "7"}
    prepare(own)
    assert own == {"MKL_CBWR": "COMPATIBLE", "GOMP_SPINCOUNT": "7"}


def test_threads_do_not_spin_for_long_unless_the_user_chose_how_they_wait():
    plain, chosen = {}, {"OMP_WAIT_POLICY": "ACTIVE"}
    prepare(plain)
    prepare(chosen)
    assert 0 < int(plain["GOMP_SPINCOUNT"]) <= 10_000  # GNU's own default is 300,000
    assert "GOMP_SPINCOUNT" not in chosen


def test_importing_guidegen_is_enough_and_loads_no_torch():
    script = (
        "import os, sys, guidegen\n"
        "assert os.environ['MKL_CBWR'].startswith(('AVX', 'AUTO')), os.environ\n"
        "assert 'torch' not in sys.modules\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "MKL_CBWR"}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment)


def test_the_processor_has_a_name():
    assert cpu_model()
