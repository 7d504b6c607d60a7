"""The loop of a training: its length in steps or in minutes, resumption, and its schedule."""

from dataclasses import dataclass

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR

from guidegen.errors import ConfigError
from guidegen.training.loop import SteppedTraining
from guidegen.training.pace import Pace
from guidegen.training.schedule import paced


class Clock:
    """A second passes with each step, or as many as `slow` says."""

    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


@dataclass
class Config:
    steps: int = 40
    minutes: float | None = None
    save_every: int = 10


class Descent(SteppedTraining):
    def __init__(self, state_file, *, slow=1.0, **config):
        self.config, self.state_file, self.slow, self.clock = (
            Config(**config),
            state_file,
            slow,
            Clock(),
        )
        self.pace = Pace(self.config.steps, self.config.minutes, clock=self.clock)
        self.weight = torch.nn.Linear(1, 1)
        self.optimizer = torch.optim.SGD(self.weight.parameters(), lr=1.0)
        self.schedule = LambdaLR(self.optimizer, paced(self.pace))
        self.halfway = []
        self.step = self._resume()

    def _train_step(self):
        rate = self.schedule.get_last_lr()[0]
        if self.pace.passes(20):
            self.halfway.append(self.step)
        self.clock.seconds += self.slow
        self.optimizer.step()
        self.schedule.step()
        return {"rate": rate, "loss": torch.tensor(2.0)}

    def _state(self):
        return {"schedule": self.schedule}


def test_a_training_of_so_many_steps_makes_them_whatever_the_time(tmp_path):
    ours = Descent(tmp_path / "state.pt", slow=1e6)
    assert len(list(ours.run())) == 40
    assert ours.halfway == [20]


@pytest.mark.parametrize(("slow", "made"), [(0.5, 121), (1, 61), (7, 10)])
def test_a_limit_of_time_ends_after_the_step_that_reaches_it_with_the_rate_annealed(
    tmp_path, slow, made
):
    ours = Descent(tmp_path / "state.pt", slow=slow, minutes=1)
    rates = [told["rate"] for told in ours.run()]
    assert len(rates) == made
    assert max(rates) > 0.9
    assert ours.schedule.get_last_lr()[0] == pytest.approx(0.02)
    (halfway,) = ours.halfway
    assert halfway == pytest.approx(made / 2, abs=1)


def test_a_first_step_that_compiles_for_long_is_not_counted(tmp_path):
    ours = Descent(tmp_path / "state.pt", slow=1000, minutes=1)
    rates = []
    for told in ours.run():
        rates.append(told["rate"])
        ours.slow = 1
    assert len(rates) == 61
    assert rates[1] == rates[0] < 0.2


def test_scores_come_at_the_same_parts_of_the_way_in_steps_and_in_time(tmp_path):
    for name, settings in (("steps", {}), ("time", {"minutes": 1, "slow": 0.3})):
        ours, at = Descent(tmp_path / name, **settings), []
        ours.scored(
            "descent", 10, lambda means, at=at, ours=ours: at.append(ours.pace.now) or [means]
        )
        assert at == pytest.approx([10, 20, 30, 40], abs=0.3)


def test_scores_are_of_plain_numbers_and_come_once_where_nothing_is_left(tmp_path):
    ours = Descent(tmp_path / "state.pt")
    (means,) = ours.scored("descent", 1000, lambda means: [means])
    assert means["loss"] == pytest.approx(2)
    assert isinstance(means["loss"], float)
    again = Descent(tmp_path / "state.pt")
    assert again.scored("descent", 1000, lambda means: [means]) == [{}]


def test_a_timed_training_that_was_stopped_has_the_rest_of_its_time(tmp_path):
    first = Descent(tmp_path / "state.pt", minutes=1)
    for _ in first.run():
        if first.step == 50:  # saved at 46, three quarters of the way
            break
    again = Descent(tmp_path / "state.pt", minutes=1)
    assert again.step == 46
    assert len(list(again.run())) == 16
    assert again.halfway == []


def test_a_state_without_a_clock_is_not_gone_on_from_by_time(tmp_path):
    list(Descent(tmp_path / "state.pt").run())
    with pytest.raises(ConfigError, match="it has no pace"):
        Descent(tmp_path / "state.pt", minutes=1)
