"""Which arithmetic is chosen; times are planted, never those of this machine."""

import json

import pytest
import torch

from guidegen import precision
from guidegen.errors import ConfigError
from guidegen.precision import Arithmetic, choose, generator_dtypes, named, perceptor_dtypes
from guidegen.utils.measured import fastest

FP32, BF16 = Arithmetic(torch.float32), Arithmetic(torch.bfloat16)
LAST = Arithmetic(torch.float32, True)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GUIDEGEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "speed"


class Bench:
    """Work that takes as long as was planted, by a clock that moves with it."""

    def __init__(self, **seconds):
        self.seconds = {name.replace("_", " "): taken for name, taken in seconds.items()}
        self.now = 0.0
        self.runs = []

    def workload(self, choice):
        def run():
            self.runs.append(str(choice))
            self.now += self.seconds[str(choice)]

        return run

    def clock(self):
        return self.now

    def choose(self, choices=(FP32, BF16), module="tower", shapes="32 px"):
        return choose(module, shapes, choices, self.workload, device="cpu", clock=self.clock)


def test_the_faster_one_is_taken_and_told():
    found = Bench(fp32=0.02, bf16=0.01).choose()
    assert found == BF16
    assert found.milliseconds == pytest.approx({"fp32": 20, "bf16": 10})
    assert Bench(fp32=0.01, bf16=0.02).choose(module="other") == FP32


def test_a_draw_goes_to_the_first():
    assert Bench(fp32=0.0100, bf16=0.0099).choose() == FP32


def test_layouts_are_timed_as_well():
    bench = Bench(fp32=0.01)
    bench.seconds["fp32 channels-last"] = 0.005
    found = bench.choose([FP32, LAST])
    assert found == LAST
    assert str(found) == "fp32 channels-last"
    assert Arithmetic.read(str(found), "cpu") == LAST


def test_the_choice_is_measured_once_and_then_remembered():
    assert Bench(fp32=0.02, bf16=0.01).choose() == BF16
    later = Bench(fp32=0.01, bf16=0.02)
    again = later.choose()
    assert again == BF16
    assert later.runs == []
    assert again.milliseconds == pytest.approx({"fp32": 20, "bf16": 10})


@pytest.mark.parametrize("change", ["module", "shapes", "threads", "torch", "processor"])
def test_another_machine_or_shape_is_measured_anew(change, monkeypatch):
    assert Bench(fp32=0.02, bf16=0.01).choose() == BF16
    other, named_ = Bench(fp32=0.01, bf16=0.02), {}
    if change == "threads":
        threads = torch.get_num_threads()
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads + 1)
    elif change == "torch":
        monkeypatch.setattr(torch, "__version__", "99")
    elif change == "processor":
        monkeypatch.setattr(precision, "cpu_model", lambda: "another")
    else:
        named_ = {change: "another"}
    assert other.choose(**named_) == FP32


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b"null", b"[" * 100_000, b'{"key": 1, "milliseconds": {}}']
)
def test_a_damaged_file_is_measured_again(cache, damage):
    Bench(fp32=0.02, bf16=0.01).choose()
    (path,) = cache.iterdir()
    path.write_bytes(damage)
    bench = Bench(fp32=0.01, bf16=0.02)
    assert bench.choose() == FP32
    assert bench.runs
    assert Bench(fp32=0.02, bf16=0.01).choose() == FP32


@pytest.mark.parametrize("time", [0, -1, float("nan"), "fast", None])
def test_times_that_can_not_be_are_measured_again(cache, time):
    Bench(fp32=0.02, bf16=0.01).choose()
    (path,) = cache.iterdir()
    data = json.loads(path.read_text())
    data["milliseconds"]["fp32"] = time
    path.write_text(json.dumps(data))
    assert Bench(fp32=0.01, bf16=0.02).choose() == FP32


def test_a_cache_that_can_not_be_written_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GUIDEGEN_CACHE", str(tmp_path / "file"))
    assert Bench(fp32=0.02, bf16=0.01).choose() == BF16


def test_of_two_processes_that_measure_at_once_the_first_counts():
    first, second = Bench(fp32=0.02, bf16=0.01), Bench(fp32=0.01, bf16=0.02)
    workload = second.workload

    def overtaken(choice):
        if first is not None and not first.runs:
            first.choose()
        return workload(choice)

    second.workload = overtaken
    assert second.choose() == BF16


def test_where_there_is_no_choice_nothing_is_timed():
    bench = Bench()
    assert bench.choose([FP32]) == FP32
    assert bench.runs == []


def test_the_least_time_counts():
    now, steps = [0.0], iter([1.0, 1.0, 9.0, 0.5, 2.0, 0.4, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0])

    def run():
        now[0] += next(steps)

    assert fastest({"a": run, "b": run}, lambda: now[0]) == {"a": 9000.0, "b": 500.0}


def test_a_cpu_without_bf16_instructions_is_not_even_asked(monkeypatch):
    for native, wanted in ((False, (torch.float32,)), (True, (torch.float32, torch.bfloat16))):
        monkeypatch.setattr(precision, "has_bf16", lambda _, native=native: native)
        assert perceptor_dtypes("cpu") == wanted
        assert generator_dtypes("cpu") == wanted


def test_gpus_and_generators_never_in_fp16(monkeypatch):
    for native in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda native=native, **_: native)
        half = torch.bfloat16 if native else torch.float16
        assert perceptor_dtypes("cuda:1") == (half, torch.float32)
        assert torch.float16 not in generator_dtypes("cuda:1")
    assert perceptor_dtypes("mps") == (torch.float16, torch.float32)


def test_what_can_not_be_is_refused():
    with pytest.raises(ConfigError, match="bf16"):
        named("fp16", "cpu")
    with pytest.raises(ConfigError, match="fp8"):
        named("fp8", "cpu")
    assert named("fp16", "cuda") == torch.float16
