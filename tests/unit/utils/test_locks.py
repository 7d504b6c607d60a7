"""One process at a time, and no lock that outlives its process."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from filelock import FileLock

from guidegen.errors import OutputError
from guidegen.utils.locks import LOCK, locked, waiting

HOLD = """
import sys, time
from pathlib import Path
from guidegen.utils.locks import locked
with locked(Path(sys.argv[1]), "a picture"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_second_process_is_told_who_holds_the_folder(tmp_path, holder):
    words = rf"another guidegen \(process {holder.pid}\) is making it in .*; wait for it"
    with pytest.raises(OutputError, match=words), locked(tmp_path, "it"):
        raise AssertionError("held twice")
    # asking took nothing away from the holder
    with pytest.raises(OutputError, match=words), locked(tmp_path, "it"):
        raise AssertionError("held twice")


def test_the_kernel_releases_the_lock_of_a_killed_process(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / LOCK).exists()
    with locked(tmp_path, "it"):
        assert (tmp_path / LOCK).read_text() == f"{os.getpid()}\n"
    assert not (tmp_path / LOCK).exists()


def test_who_opened_the_file_before_it_was_removed_does_not_hold_the_next_one(tmp_path):
    with locked(tmp_path, "it"):
        late = os.open(tmp_path / LOCK, os.O_RDWR)
    with locked(tmp_path, "it"):
        assert not os.path.samestat(os.fstat(late), (tmp_path / LOCK).stat())
        with pytest.raises(OutputError, match="another guidegen"), locked(tmp_path, "it"):
            raise AssertionError("held twice")
    os.close(late)


def test_waiting_takes_turns(tmp_path):
    number = tmp_path / "number"
    number.write_text("0")

    def count():
        for _ in range(10):
            with waiting(tmp_path / "lock"):
                before = int(number.read_text())
                time.sleep(0.001)
                number.write_text(str(before + 1))

    threads = [threading.Thread(target=count) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert number.read_text() == "30"


@pytest.mark.parametrize("take", [lambda folder: locked(folder, "it"), lambda f: waiting(f / LOCK)])
def test_a_place_that_can_not_be_written_is_an_output_error(tmp_path, take):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"can't write .*file"), take(tmp_path / "file"):
        raise AssertionError("held")


def test_a_file_system_without_locks_does_not_stop_the_work(tmp_path, monkeypatch):
    def no_locks(self, *args, **kwargs):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", no_locks)
    done = []
    with locked(tmp_path, "it"):
        done.append("locked")
    with waiting(tmp_path / "lock"):
        done.append("waiting")
    assert done == ["locked", "waiting"]
