"""Signals become a stop, for as long as a command wants it."""

import signal

import pytest

from guidegen.utils.signals import stopping_on_signals
from guidegen.utils.stop import Stop

ALL = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", ALL)
def test_a_signal_asks_for_a_stop_and_handlers_are_put_back(number):
    before = [signal.getsignal(each) for each in ALL]
    stop = Stop()
    with stopping_on_signals(stop):
        assert not stop
        signal.raise_signal(number)
        assert stop
        assert (stop.signal, stop.reason) == (number, signal.Signals(number).name)
    assert [signal.getsignal(each) for each in ALL] == before


def test_a_second_signal_leaves_at_once(monkeypatch):
    left = []
    monkeypatch.setattr("os._exit", left.append)
    with stopping_on_signals(Stop()):
        signal.raise_signal(signal.SIGINT)
        assert left == []
        signal.raise_signal(signal.SIGTERM)
    assert left == [143]


def test_what_was_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        stop = Stop()
        with stopping_on_signals(stop):
            signal.raise_signal(signal.SIGHUP)
            assert not stop
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_first_reason_stays():
    stop = Stop()
    stop.set("mine")
    stop.set("yours", signal=2)
    assert (stop.reason, stop.signal) == ("mine", 0)
