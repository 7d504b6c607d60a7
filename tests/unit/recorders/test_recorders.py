"""Recorders: closing on every exit, and what each writes."""

import io
import json
from contextlib import closing
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from guidegen.errors import OutputError
from guidegen.interfaces import Step
from guidegen.media.images import to_pil
from guidegen.recorders import Recorder, Recording
from guidegen.recorders.jsonl import Jsonl
from guidegen.recorders.progress import Progress
from guidegen.recorders.trajectory import Trajectory, read_trajectory
from guidegen.utils.files import write_atomic
from tests.helpers.recording import record


def step(index, total=4, batch=2):
    rows = torch.arange(batch, dtype=torch.float32)
    return Step(
        index=index,
        total=total,
        latents={"z": rows[:, None] * 10 + index, "choice": torch.full((batch, 2), index)},
        images=((rows + index) / 10).view(batch, 1, 1, 1).expand(batch, 3, 4, 6),
        losses={"total": rows + index, "clip": rows * 2},
        lr=0.05,
    )


def steps(total=4):
    return (step(index, total) for index in range(total + 1))


class Spy:
    def __init__(self, fail_at=None):
        self.seen = []
        self.closed = 0
        self.fail_at = fail_at

    def __call__(self, step):
        if step.index == self.fail_at:
            raise OutputError("full")
        self.seen.append(step.index)

    def close(self):
        self.closed += 1


def test_every_step_is_shown_and_passed_on():
    spy = Spy()
    assert isinstance(spy, Recorder)
    assert [each.index for each in record(steps(), [spy])] == spy.seen == [0, 1, 2, 3, 4]
    assert spy.closed == 1


def test_a_text_that_a_recorder_returns_ends_the_run_and_nothing_else_does():
    spy = Spy()
    answers = [None, "", True, 7, "sharp enough", "later"]
    assert Recording([spy, *(lambda step, a=a: a for a in answers)])(step(0)) == "sharp enough"
    assert Recording([lambda step: True])(step(0)) == ""
    assert spy.seen == [0]


def test_a_recorder_that_raises_stopiteration_ends_the_run():
    def enough(step):
        raise StopIteration

    assert "StopIteration" in Recording([enough])(step(0))


def test_a_plain_function_has_nothing_to_close():
    seen = []
    list(record(steps(), [lambda step: seen.append(step.index)]))
    assert seen == [0, 1, 2, 3, 4]


def test_an_error_in_the_loop_closes_all():
    def failing():
        yield step(0)
        raise ArithmeticError("nan")

    spies = [Spy(), Spy()]
    with pytest.raises(ArithmeticError):
        list(record(failing(), spies))
    assert [spy.closed for spy in spies] == [1, 1]


def test_an_error_in_a_recorder_closes_all():
    spies = [Spy(fail_at=2), Spy()]
    with pytest.raises(OutputError):
        list(record(steps(), spies))
    assert [spy.closed for spy in spies] == [1, 1]


def test_a_close_that_fails_does_not_keep_the_others_open():
    class Bad(Spy):
        def close(self):
            raise OutputError("full")

    spies = [Spy(), Bad(), Spy()]
    with pytest.raises(OutputError):
        list(record(steps(), spies))
    assert [spies[0].closed, spies[2].closed] == [1, 1]


def test_a_consumer_that_stops_early_closes_all():
    spy = Spy()
    with closing(record(steps(), [spy])) as shown:
        next(shown)
    assert spy.closed == 1


def test_ctrl_c_in_the_loop_closes_all():
    def interrupted():
        yield step(0)
        raise KeyboardInterrupt

    spy = Spy()
    with pytest.raises(KeyboardInterrupt):
        list(record(interrupted(), [spy]))
    assert spy.closed == 1


@pytest.mark.parametrize("flush_every", [1, 2, 100])
def test_jsonl_has_a_line_a_step_of_its_row(tmp_path, flush_every):
    path = tmp_path / "steps.jsonl"
    list(record(steps(), [Jsonl(path, row=1, flush_every=flush_every)]))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2, 3, 4]
    assert [line["losses"] for line in lines] == [
        {"total": 1.0 + index, "clip": 2.0} for index in range(5)
    ]
    assert all(line["lr"] == 0.05 and line["seconds"] >= 0 for line in lines)


def test_jsonl_writes_no_nan_and_keeps_what_it_saw_before_an_error(tmp_path):
    path = tmp_path / "steps.jsonl"
    recorder = Jsonl(path)
    bad = step(0)
    recorder(Step(**{**vars(bad), "losses": {"total": torch.tensor([float("nan"), 1.0])}}))
    recorder.close()
    recorder.close()
    assert json.loads(path.read_text())["losses"] == {"total": None}


def test_jsonl_says_where_it_can_not_write(tmp_path):
    with pytest.raises(OutputError, match="can't write"):
        Jsonl(tmp_path / "none" / "steps.jsonl")


@pytest.mark.parametrize(("every", "kept"), [(1, [0, 1, 2, 3, 4]), (3, [0, 3, 4])])
def test_trajectory_stacks_the_latents_of_its_row(tmp_path, every, kept):
    list(record(steps(), [trajectory(tmp_path, row=1, every=every)]))
    path = tmp_path / "trajectory.safetensors"
    latents = load_file(path)
    assert latents["z"].tolist() == [[10.0 + index] for index in kept]
    assert latents["choice"].tolist() == [[index, index] for index in kept]
    with safe_open(path, "pt") as file:
        told = file.metadata()
    assert json.loads(told["steps"]) == kept
    assert told["total"] == "4"
    assert told["every"] == str(every)


def trajectory(folder, **options):
    return Trajectory(folder, lambda name, data: write_atomic(folder / name, data), **options)


def test_trajectory_fetches_in_chunks_without_changing_anything(tmp_path):
    list(record(steps(70), [trajectory(tmp_path, row=0)]))
    found = load_file(tmp_path / "trajectory.safetensors")
    assert found["z"].flatten().tolist() == [float(i) for i in range(71)]


def test_a_trajectory_too_large_is_thinned(tmp_path):
    half = 2 + 16  # bytes of z in half precision and of choice
    list(record(steps(199), [trajectory(tmp_path, max_bytes=50 * half)]))
    with safe_open(tmp_path / "trajectory.safetensors", "pt") as file:
        told = file.metadata()
    kept = json.loads(told["steps"])
    every = int(told["every"])
    assert kept == [*range(0, 199, every), 199]
    assert 40 < len(kept) <= 51
    found = load_file(tmp_path / "trajectory.safetensors")
    assert found["z"].dtype == torch.float16
    assert found["z"].flatten().tolist() == [float(i) for i in kept]
    assert read_trajectory(tmp_path).latents["z"].dtype == torch.float32


def test_a_trajectory_that_fits_keeps_every_bit(tmp_path):
    list(record(steps(19), [trajectory(tmp_path, max_bytes=21 * 20)]))
    assert load_file(tmp_path / "trajectory.safetensors")["z"].dtype == torch.float32
    assert len(read_trajectory(tmp_path).steps) == 20


def test_a_huge_state_still_leaves_a_start_an_end_and_something_between(tmp_path):
    list(record(steps(20), [trajectory(tmp_path, max_bytes=1)]))
    assert list(read_trajectory(tmp_path).steps) == [0, 7, 14, 20]


def test_what_half_precision_can_not_hold_stays_whole(tmp_path):
    recorder = trajectory(tmp_path, max_bytes=1)
    for index in range(5):
        recorder(replace(step(index, 4), latents={"z": torch.full((2, 1), 1e6 + index)}))
    recorder.close()
    assert read_trajectory(tmp_path).latents["z"][-1] == 1e6 + 4


@pytest.mark.slow
def test_large_pictures_keep_within_the_default_budget_and_their_steps_spread_evenly(tmp_path):
    recorder = trajectory(tmp_path)
    side = 256
    for index in range(101):
        recorder(replace(step(index, 100), latents={"pixels": torch.rand(2, 3, side, side)}))
        if index == 50:
            recorder.save()  # and then it is killed
    later = trajectory(tmp_path, resume_at=50)
    for index in range(50, 101):
        later(replace(step(index, 100), latents={"pixels": torch.rand(2, 3, side, side)}))
    later.close()
    assert (tmp_path / "trajectory.safetensors").stat().st_size <= 33 * 2**20
    gaps = {b - a for a, b in pairwise(read_trajectory(tmp_path).steps)}
    assert max(gaps) <= 3


def test_a_trajectory_in_parts_is_joined(tmp_path):
    first = trajectory(tmp_path)
    for index in range(4):
        first(step(index, 9))
        if index == 2:
            first.save()  # and then the run is killed: nothing is closed
    assert [path.name for path in tmp_path.iterdir()] == ["trajectory-0.safetensors"]
    assert list(read_trajectory(tmp_path).steps) == [0, 1, 2]
    second = trajectory(tmp_path, resume_at=2)
    for index in range(2, 10):
        second(step(index, 9))
        if index == 5:
            second.save()
    second.close()
    assert [path.name for path in tmp_path.iterdir()] == ["trajectory.safetensors"]
    whole = read_trajectory(tmp_path)
    assert whole.latents["z"].flatten().tolist() == [float(i) for i in range(10)]
    assert (list(whole.steps), whole.total) == (list(range(10)), 9)


def test_a_damaged_part_is_left_out(tmp_path, caplog):
    one = trajectory(tmp_path)
    for index in range(6):
        one(step(index, 9))
        if index in (2, 5):
            one.save()
    (tmp_path / "trajectory-0.safetensors").write_bytes(b"no tensors")
    assert list(read_trajectory(tmp_path).steps) == [3, 4, 5]
    assert "damaged" in caplog.text


def test_lines_before_the_step_where_a_run_goes_on_stay(tmp_path):
    path = tmp_path / "steps.jsonl"
    list(record(steps(4), [Jsonl(path)]))
    with path.open("a") as file:
        file.write('{"step": 5, "lo')  # torn by a kill
    later = Jsonl(path, resume_at=3)
    for index in (3, 4, 5):
        later(step(index, 5))
    later.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2, 3, 4, 5]
    assert lines[-1]["seconds"] >= lines[1]["seconds"]


def test_no_step_no_file(tmp_path):
    trajectory(tmp_path).close()
    assert not list(tmp_path.iterdir())


def test_to_pil_clamps_and_rounds():
    image = torch.tensor([-1.0, 0.0, 0.4999 / 255, 0.6 / 255, 2.0]).expand(3, 1, 5)
    assert list(to_pil(image).tobytes()[::3]) == [0, 0, 0, 1, 255]


def test_a_log_gets_plain_lines(capsys):
    file = io.StringIO()
    list(record(steps(), [Progress("a red apple", file=file, interval=1e9)]))
    (line,) = file.getvalue().splitlines()
    assert line == "a red apple: step 4/4, loss 4.500, 0 s"
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    file = Terminal()
    list(record(steps(), [Progress("a red apple", file=file)]))
    assert "\r" in file.getvalue()
    assert "a red apple" in file.getvalue()
    assert "loss=" in file.getvalue()


@pytest.mark.parametrize(
    "line",
    [
        '{"step": 1, "seconds": "x"}', '{"step": 1, "seconds": 1e400}',
        '{"step": 1, "seconds": -5}',
        '{"step": 1, "seconds": [1]}', '{"step": 1}', '{"step": "1"}', '{"step": 1e99}', "[1]", "7",
        "[" * 100_000, '{"step": ' * 50_000, "\x00",
    ],
)  # fmt: skip
def test_crafted_lines_of_an_earlier_run_do_no_harm(tmp_path, line):
    path = tmp_path / "steps.jsonl"
    path.write_text(f'{line}\n{{"step": 0, "seconds": 2.0}}\n')
    Jsonl(path, resume_at=5).close()
    assert '"step": 0' in path.read_text()
