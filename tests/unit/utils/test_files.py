"""Temporary files that killed processes left."""

import multiprocessing
import os
import signal
import time

from guidegen.utils import files
from guidegen.utils.files import hold, remove_orphans, replacing


def write(path, ready):
    with replacing(path) as temporary, temporary.open("wb") as file:
        hold(file)
        file.write(b"half")
        file.flush()
        ready.set()
        time.sleep(60)


def test_the_file_of_a_killed_writer_goes_and_that_of_a_living_one_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_MOMENT", -1.0)
    path = tmp_path / "v [1].mp4"
    other = tmp_path / ".w.mp4.0.tmp"
    other.write_bytes(b"of another file")
    fork = multiprocessing.get_context("fork")
    writers = []
    for _ in range(2):
        ready = fork.Event()
        writers.append(fork.Process(target=write, args=(path, ready)))
        writers[-1].start()
        assert ready.wait(60)
    try:
        remove_orphans(path)
        assert len(list(tmp_path.iterdir())) == 3
        os.kill(writers[0].pid, signal.SIGKILL)
        writers[0].join()
        remove_orphans(path)
        assert len(list(tmp_path.iterdir())) == 2
        assert other.exists()
    finally:
        for writer in writers:
            writer.kill()
            writer.join()
    remove_orphans(path)
    assert list(tmp_path.iterdir()) == [other]


def test_what_is_only_just_there_is_left_alone(tmp_path):
    orphan = tmp_path / ".v.mp4.12345678.tmp"
    orphan.write_bytes(b"")
    remove_orphans(tmp_path / "v.mp4")
    assert orphan.exists()
    os.utime(orphan, (1, 1))
    remove_orphans(tmp_path / "v.mp4")
    assert not orphan.exists()
