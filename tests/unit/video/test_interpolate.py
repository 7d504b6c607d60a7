"""The way between stored latents, and how time runs along it."""

import math
from itertools import pairwise

import pytest
import torch

from guidegen.errors import ConfigError, OutputError
from guidegen.video.interpolate import at, between, row, slerp
from guidegen.video.settings import (
    VideoSettings,
    check_place,
    choose_format,
    ease,
    positions,
    width_for,
)


def way(*values):
    return {"z": torch.tensor(values, dtype=torch.float32)}


def z(latents, position):
    return at(latents, position)["z"].tolist()


def test_stored_states_are_met_exactly():
    rng = torch.Generator().manual_seed(0)
    latents = {"z": torch.randn(5, 2, 3, generator=rng)}
    for k in range(5):
        assert torch.equal(at(latents, k)["z"], latents["z"][k])


def test_an_even_motion_stays_even():
    latents = way([0.0], [1.0], [2.0], [3.0])
    for position in (0.25, 0.5, 1.75, 2.9):
        assert z(latents, position) == pytest.approx([position])


def test_the_way_never_leaves_its_neighbours_and_has_no_kinks():
    rng = torch.Generator().manual_seed(1)
    latents = {"z": torch.randn(12, 40, generator=rng).cumsum(0)}
    fine = torch.stack([at(latents, i / 100)["z"] for i in range(1101)])
    for k in range(11):
        low = torch.minimum(latents["z"][k], latents["z"][k + 1])
        high = torch.maximum(latents["z"][k], latents["z"][k + 1])
        part = fine[100 * k : 100 * k + 101]
        assert (part >= low - 1e-4).all()
        assert (part <= high + 1e-4).all()
    # speed changes little from one hundredth of a step to the next; straight lines would jump
    speed = fine.diff(dim=0) * 100
    span = latents["z"].diff(dim=0).abs().max()
    assert speed.diff(dim=0).abs().max() < 0.2 * span


def test_a_slot_whose_choice_changes_jumps_and_the_others_move():
    latents = {
        "place": torch.tensor([[[0.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]]]),
        "scale": torch.tensor([[0.0, 0.0], [1.0, 1.0]]),
        "backdrop": torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]),
        "patch": torch.tensor([[3, 5], [3, 6]]),
    }
    found = at(latents, 0.9)
    assert found["patch"].tolist() == [3, 5]
    assert found["place"].tolist() == [pytest.approx([0.9, 0.9]), [0.0, 0.0]]
    assert found["scale"].tolist() == [pytest.approx(0.9), 0.0]
    assert found["backdrop"].tolist() == pytest.approx([0.9] * 3)
    assert at(latents, 1.0)["patch"].tolist() == [3, 6]
    assert at(latents, 1.0)["scale"].tolist() == [1.0, 1.0]


def test_a_jump_does_not_pull_at_the_steps_beside_it():
    latents = way([0.0], [1.0], [100.0], [101.0])
    latents["choice"] = torch.tensor([[0], [0], [1], [1]])
    assert z(latents, 0.5) == pytest.approx([0.5])
    assert z(latents, 1.5) == [1.0]
    assert z(latents, 2.5) == pytest.approx([100.5])


def test_a_choice_of_all_slots_holds_everything():
    latents = way([0.0], [1.0])
    latents["class"] = torch.tensor([1, 2])
    assert z(latents, 0.5) == [0.0]


def test_one_state_only():
    assert z(way([7.0]), 0) == [7.0]


def test_slerp_keeps_the_norm_and_meets_its_ends():
    rng = torch.Generator().manual_seed(2)
    a, b = torch.randn(2, 4, 128, generator=rng)
    b = b * a.norm(dim=-1, keepdim=True) / b.norm(dim=-1, keepdim=True)
    for t in (0.0, 0.3, 1.0):
        assert torch.allclose(slerp(a, b, t).norm(dim=-1), a.norm(dim=-1), rtol=1e-4)
    assert torch.allclose(slerp(a, b, 0.0), a, atol=1e-5)
    assert torch.allclose(slerp(a, b, 1.0), b, atol=1e-5)
    middle = slerp(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), 0.5)
    assert middle.tolist() == pytest.approx([0.5**0.5] * 2)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([1.0, 0.0], [0.0, 3.0]),  # norms that differ
        ([1.0, 0.0], [1.0, 0.0]),  # the same
        ([1.0, 0.0], [-1.0, 0.0]),  # opposite: no one way along the sphere
        ([0.0, 0.0], [0.0, 1.0]),  # no direction
    ],
)
def test_slerp_goes_straight_where_there_is_no_arc(a, b):
    a, b = torch.tensor(a), torch.tensor(b)
    assert torch.equal(slerp(a, b, 0.25), torch.lerp(a, b, 0.25))


def test_only_z_goes_along_the_sphere():
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    found = between({"z": a, "logits": a}, {"z": b, "logits": b}, 0.5)
    assert found["z"].norm() == pytest.approx(1.0)
    assert found["logits"].tolist() == [0.5, 0.5]


def test_row():
    assert row(way([1.0], [2.0]), -1)["z"].tolist() == [2.0]


@pytest.mark.parametrize("kind", ["linear", "in-out", "out"])
def test_easing_goes_from_start_to_end_and_never_back(kind):
    places = positions(50, 9, kind)
    assert places[0] == 0
    assert places[-1] == 9
    assert all(a <= b for a, b in pairwise(places))
    assert positions(1, 9, kind) == [9.0]
    assert positions(3, 0, kind) == [0.0, 0.0, 0.0]


def test_easing_speeds():
    assert ease(0.5, "linear") == ease(0.5, "in-out") == 0.5
    assert ease(0.1, "in-out") < 0.1 < ease(0.1, "out")
    assert ease(0.9, "in-out") > 0.9
    assert ease(0.9, "out") > 0.9


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"seconds": 0}, "seconds: "),
        ({"seconds": -1}, "seconds: "),
        ({"seconds": math.nan}, "seconds: "),
        ({"seconds": math.inf}, "seconds: "),
        ({"hold": -0.1}, "hold: "),
        ({"fps": 0}, "fps: "),
        ({"fps": 241}, "fps: "),
        ({"fps": math.nan}, "fps: "),
        ({"fps": 60, "format": "gif"}, "gif has 1 to 50"),
        ({"size": 8}, "size: "),
        ({"size": 5000}, "size: "),
        ({"ease": "bounce"}, "ease: "),
        ({"format": "avi"}, "format: "),
    ],
)
def test_settings_that_can_not_be_are_refused(values, says):
    with pytest.raises(ConfigError, match=says):
        VideoSettings(**values)


def test_frames_of_settings():
    assert VideoSettings(seconds=10, hold=1.5, fps=60).moving == 600
    assert VideoSettings(seconds=10, hold=1.5, fps=60).held == 90
    assert VideoSettings(seconds=0.001, hold=0).moving == 1
    assert VideoSettings(format="gif").rate == 25


def test_format_by_suffix_or_name(tmp_path):
    assert choose_format(None, None) == "mp4"
    assert choose_format("gif", None) == "gif"
    assert choose_format(None, tmp_path / "a.WEBP") == "webp"
    with pytest.raises(ConfigError, match="does not fit"):
        choose_format("mp4", tmp_path / "a.gif")
    with pytest.raises(ConfigError, match="ending in"):
        choose_format(None, tmp_path / "a.avi")


def test_place(tmp_path):
    check_place(tmp_path / "new" / "a.mp4")
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match=r"^out: "):
        check_place(tmp_path / "file" / "a.mp4")
    (tmp_path / "b.mp4").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        check_place(tmp_path / "b.mp4")


def test_width_follows_height():
    assert width_for(100, (384, 512)) == 133
    assert width_for(384, (384, 384)) == 384
    assert width_for(1, (4096, 16)) == 1
