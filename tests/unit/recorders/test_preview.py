"""`preview.png`: small, now and then, whole, and never worth a picture."""

import pytest
from PIL import Image

from guidegen.errors import OutputError
from guidegen.recorders import BestEffort, preview
from guidegen.recorders.preview import Preview
from guidegen.utils import failpoints
from tests.helpers.recording import record
from tests.helpers.videos import step


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 0.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(preview, "time", clock)
    return clock


def test_it_is_small_and_written_once_a_second_at_most(tmp_path, clock):
    recorder = Preview(tmp_path, size=32)
    written = []
    for index in range(9):
        before = (tmp_path / "preview.png").is_file()
        recorder(step(index))
        with Image.open(tmp_path / "preview.png") as shown:
            assert max(shown.size) == 32
            written.append(shown.tobytes())
        assert index == 0 or before
        clock.now += 0.3
    assert len(set(written)) == 3  # at 0, 1.2 and 2.4 seconds
    assert [path.name for path in tmp_path.iterdir()] == ["preview.png"]
    recorder.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["create", "write", "rename"])
def test_a_preview_that_can_not_be_written_is_only_a_warning(
    tmp_path, monkeypatch, caplog, clock, place
):
    failpoints._reached.clear()
    monkeypatch.setenv("GUIDEGEN_FAILPOINT", f"{place}@preview.png:1:enospc")
    with pytest.raises(OutputError):
        Preview(tmp_path)(step(0))
    failpoints._reached.clear()
    seen = list(record((step(i) for i in range(5)), [BestEffort(Preview(tmp_path))]))
    assert len(seen) == 5
    assert "the run goes on" in caplog.text
    assert list(tmp_path.iterdir()) == []
