"""Videos made afterwards, from trajectories, by decoding them."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file

from guidegen.config import make_config
from guidegen.errors import ConfigError, InputImageError, OutputError, WeightsError
from guidegen.interfaces import Step
from guidegen.ops import floating, rows
from guidegen.recorders.trajectory import Trajectory
from guidegen.registry import find
from guidegen.runs.store import RunStore
from guidegen.utils.versions import own_version
from guidegen.video import playback
from guidegen.video.morph import default_place, fits, morph
from guidegen.video.playback import open_source
from guidegen.video.render import render
from guidegen.video.settings import VideoSettings
from tests.helpers.videos import about, frames, psnr

QUICK = VideoSettings(seconds=1, hold=0.25, fps=8)


def make_run(
    out, *, prompt="a red dot", generator="pixels", size="48", states=6, seed=0, keep=2**25, **more
):
    """A finished run of `states` recorded states."""
    config = make_config(
        {"prompt": prompt, "generator": generator, "size": size, "seed": seed, "out": out, **more}
    )
    backend, variant = find(generator)
    loaded = backend.load(variant, size=config.height_width(), device="cpu")
    digests = {generator: loaded.digest} if loaded.digest else {}
    run = RunStore(out).create(config, config.digest(), models=digests)
    recorder = Trajectory(run.path, run.write, max_bytes=keep)
    start = loaded.init(1, rngs=[torch.Generator().manual_seed(seed)])
    away = torch.Generator().manual_seed(seed + 1)
    noise = {n: torch.randn(v.shape, generator=away) for n, v in floating(start).items()}
    if generator == "pixels":  # soft pictures, which a video keeps
        start["pixels"] = 0.5 + soft(start["pixels"], 4)
        noise["pixels"] = 0.5 * soft(noise["pixels"], 3)
    for i in range(states):
        latents = {n: v + 0.3 * i * noise[n] if n in noise else v for n, v in start.items()}
        loaded.constrain_(latents)
        recorder(Step(i, states - 1, latents, torch.zeros(1, 3, 4, 4), {}, 0.1))
    recorder.close()
    run.finish({})
    return run


def soft(noise, cells):
    shape = noise.shape[-2:]
    coarse = F.adaptive_avg_pool2d(noise, cells)
    coarse = coarse / coarse.abs().max() / 3
    return F.interpolate(coarse, shape, mode="bicubic")


def state(run, index, size):
    """What the generator draws of one recorded state."""
    source = open_source(run)
    latents = rows(source.stored.latents, torch.tensor([index]))
    return source.generator.decode(latents, size=size)[0]


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "outputs")


@pytest.mark.slow
def test_from_the_start_to_the_picture(run, tmp_path):
    out = render([run], tmp_path / "v.mp4", QUICK)
    found = frames(out)
    assert found.shape == (10, 48, 48, 3)
    assert psnr(found[0], state(run, 0, (48, 48))) > 34
    for frame in found[7:]:
        assert psnr(frame, state(run, -1, (48, 48))) > 34
    # the way lies between
    assert psnr(found[4], state(run, -1, (48, 48))) < 30
    assert psnr(found[4], state(run, 0, (48, 48))) < 30
    data = about(out)
    assert data["fps"] == 8
    assert data["title"] == "a red dot"
    assert data["comment"] == "guidegen generate 'a red dot' --generator pixels --size 48"
    assert own_version() in data["description"]


@pytest.mark.slow
def test_linear_time_meets_the_stored_states(run, tmp_path):
    settings = VideoSettings(seconds=6, hold=0, fps=1, ease="linear")
    found = frames(render([run], tmp_path / "v.mp4", settings))
    assert len(found) == 6
    for i, frame in enumerate(found):
        assert psnr(frame, state(run, i, (48, 48))) > 34


@pytest.mark.parametrize(("generator", "size"), [("collage", "96x72"), ("pixels", "64x48")])
@pytest.mark.slow
def test_another_height_and_an_odd_width(tmp_path, generator, size):
    run = make_run(tmp_path / "outputs", generator=generator, size=size, states=3)
    found = frames(render([run], tmp_path / "v.mp4", replace(QUICK, size=95)))
    assert found.shape[1:3] == (96, 128)
    assert psnr(found[-1], state(run, -1, (95, 127))) > 30


@pytest.mark.slow
def test_the_trajectory_of_a_single_state(tmp_path):
    run = make_run(tmp_path / "outputs", states=1)
    found = frames(render([run], tmp_path / "v.mp4", QUICK))
    assert len(found) == 10
    for frame in found:
        assert psnr(frame, state(run, 0, (48, 48))) > 34


@pytest.mark.slow
def test_a_video_of_one_frame_is_the_picture(run, tmp_path):
    found = frames(render([run], tmp_path / "v.mp4", replace(QUICK, seconds=0.01, hold=0)))
    assert len(found) == 1
    assert psnr(found[0], state(run, -1, (48, 48))) > 34


@pytest.mark.slow
def test_side_by_side_has_one_height(run, tmp_path):
    wide = make_run(tmp_path / "outputs", size="64x32", prompt="two", seed=3)
    found = frames(render([run, wide], tmp_path / "v.mp4", QUICK))
    assert found.shape == (10, 48, 48 + 96, 3)
    assert psnr(found[-1][:, :48], state(run, -1, (48, 48))) > 34
    assert psnr(found[-1][:, 48:], state(wide, -1, (48, 96))) > 34
    assert about(tmp_path / "v.mp4")["title"] == "a red dot / two"


@pytest.mark.parametrize("kind", ["gif", "webp"])
@pytest.mark.slow
def test_animations(run, tmp_path, kind):
    out = render([run], tmp_path / f"v.{kind}", replace(QUICK, fps=10, format=kind))
    with Image.open(out) as image:
        assert (image.n_frames, image.size) == (12, (48, 48)) or kind == "webp"
        image.seek(image.n_frames - 1)
        assert psnr(np.asarray(image.convert("RGB")), state(run, -1, (48, 48))) > 27


@pytest.mark.slow
def test_no_metadata_where_none_is_wanted(tmp_path):
    run = make_run(tmp_path / "outputs", metadata=False)
    data = about(render([run], tmp_path / "v.mp4", QUICK))
    assert not {"title", "comment", "description"} & set(data)


@pytest.mark.parametrize("generator", ["pixels", "fourier"])
@pytest.mark.slow
def test_a_thinned_trajectory_in_half_precision_shows_the_same_way(tmp_path, generator):
    whole = make_run(tmp_path / "whole", generator=generator, states=31)
    thin = make_run(tmp_path / "thin", generator=generator, states=31, keep=2**17)
    sizes = [(run.path / "trajectory.safetensors").stat().st_size for run in (whole, thin)]
    assert sizes[1] < 2**17 + 4096 < sizes[0] / 4
    films = [
        frames(render([run], tmp_path / f"{i}.mp4", QUICK)) for i, run in enumerate((whole, thin))
    ]
    assert len(films[0]) == len(films[1])
    for full, short in zip(*films, strict=True):
        assert psnr(full, torch.from_numpy(short).permute(2, 0, 1) / 255) > 30


@pytest.mark.slow
def test_progress_is_told(run, tmp_path):
    told = []
    render([run], tmp_path / "v.mp4", QUICK, progress=lambda *pair: told.append(pair))
    assert told == [(i, 10) for i in range(1, 11)]


def test_a_run_without_trajectory(run, tmp_path):
    (run.path / "trajectory.safetensors").unlink()
    with pytest.raises(InputImageError, match=r"no trajectory.*by force: guidegen generate"):
        render([run], tmp_path / "v.mp4", QUICK)
    assert not (tmp_path / "v.mp4").exists()


def test_a_damaged_trajectory(run, tmp_path):
    path = run.path / "trajectory.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="is damaged"):
        render([run], tmp_path / "v.mp4", QUICK)


def test_a_trajectory_of_something_else(run, tmp_path):
    path = run.path / "trajectory.safetensors"
    save_file({"other": torch.zeros(2, 3)}, path, {"steps": "[0, 1]", "total": "1", "every": "1"})
    with pytest.raises(WeightsError, match="does not fit pixels"):
        render([run], tmp_path / "v.mp4", QUICK)


@pytest.mark.slow
def test_an_unfinished_run_is_shown_up_to_there(run, tmp_path):
    run.finish({}, status="interrupted")
    assert len(frames(render([run], tmp_path / "v.mp4", QUICK))) == 10


def test_other_weights_or_versions_are_told(tmp_path, caplog):
    run = make_run(tmp_path / "outputs", generator="collage", size="64", states=1)
    other = replace(run, models={"collage": "0" * 64}, versions={"guidegen": "0.0.1"})
    with caplog.at_level(logging.WARNING):
        open_source(run)
        assert not caplog.text
        open_source(other)
    assert "other weights of collage" in caplog.text
    assert "made by guidegen 0.0.1" in caplog.text


@pytest.mark.slow
def test_a_full_disk_leaves_the_earlier_video(run, tmp_path, monkeypatch):
    (tmp_path / "v.mp4").write_bytes(b"earlier")
    monkeypatch.setenv("GUIDEGEN_FAILPOINT", "fsync@v.mp4:1:enospc")
    with pytest.raises(OutputError, match="No space left"):
        render([run], tmp_path / "v.mp4", QUICK)
    assert (tmp_path / "v.mp4").read_bytes() == b"earlier"
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["v.mp4"]


@pytest.mark.slow
def test_pictures_are_decoded_as_they_are_needed(run, tmp_path, monkeypatch):
    """At most a small batch of them is ever decoded ahead of the encoder."""
    decoded, ahead = [0], []
    decode = playback.decode

    def counted(source, latents, size):
        decoded[0] += len(latents)
        return decode(source, latents, size)

    monkeypatch.setattr(playback, "decode", counted)
    settings = replace(QUICK, seconds=10, hold=0)
    render([run], tmp_path / "v.mp4", settings, progress=lambda i, n: ahead.append(decoded[0] - i))
    assert decoded[0] >= 80
    assert max(ahead) <= 4


@pytest.mark.slow
def test_morph_through_latents(run, tmp_path):
    other = make_run(tmp_path / "outputs", prompt="b", seed=5)
    settings = VideoSettings(seconds=1, hold=0.25, fps=8)
    assert fits(open_source(run), open_source(other))
    found = frames(morph([run, other], tmp_path / "m.mp4", settings))
    assert len(found) == 2 + 8 + 2
    first, last = state(run, -1, (48, 48)), state(other, -1, (48, 48))
    for frame, image in ((found[0], first), (found[1], first), (found[-1], last)):
        assert psnr(frame, image) > 33
    source = open_source(run)
    half = {
        "pixels": torch.lerp(
            open_source(run).stored.latents["pixels"][-1:],
            open_source(other).stored.latents["pixels"][-1:],
            0.5,
        )
    }
    middle = source.generator.decode(half)[0]
    assert max(psnr(frame, middle) for frame in found[2:10]) > 26
    assert about(tmp_path / "m.mp4")["title"] == "a red dot to b"


@pytest.mark.slow
def test_morph_in_a_loop(run, tmp_path):
    other = make_run(tmp_path / "outputs", prompt="b", seed=5)
    settings = VideoSettings(seconds=1, hold=0.25, fps=8)
    found = frames(morph([run, other], tmp_path / "m.mp4", settings, loop=True))
    assert len(found) == 2 * (2 + 8)
    # the last frame is on the way to the first
    assert psnr(found[-1], state(run, -1, (48, 48))) > psnr(found[-1], state(other, -1, (48, 48)))


@pytest.mark.parametrize("generator", ["collage", "pixels"])
@pytest.mark.slow
def test_morph_fades_what_has_no_latents_between(run, tmp_path, generator):
    other = make_run(tmp_path / "outputs", generator=generator, size="128x64", states=2)
    assert not fits(open_source(run), open_source(other))
    settings = VideoSettings(seconds=0.125, hold=0, fps=8)
    found = frames(morph([run, other], tmp_path / "m.mp4", settings))
    assert found.shape == (3, 48, 48, 3)
    first, last = state(run, -1, (48, 48)), state(other, -1, (48, 96))[:, :, 24:72]
    assert psnr(found[0], first) > 33
    # a collage's horizon and outlines lose more to so small a video than smooth pictures do
    assert psnr(found[2], last) > 25
    assert psnr(found[1], first.lerp(last, 0.5)) > 25


def test_collages_have_no_latents_between(tmp_path):
    runs = [
        make_run(tmp_path / "o", generator="collage", size="64", states=1, seed=i) for i in (0, 1)
    ]
    assert not fits(*map(open_source, runs))


def test_where_a_morph_goes(run, tmp_path):
    other = make_run(tmp_path / "outputs", prompt="b", seed=5)
    places = {default_place([run, other], "mp4"), default_place([other, run], "mp4")}
    assert len(places) == 2
    assert {place.parent for place in places} == {run.path.parent}


@pytest.mark.slow
def test_frames_are_enlarged(tmp_path):
    run = make_run(tmp_path, size="32", states=2)
    settings = VideoSettings(seconds=0.25, hold=0, fps=8, upscale=2)
    found = frames(render([run], tmp_path / "large.mp4", settings))
    assert found.shape[1:3] == (64, 64)
    small = frames(render([run], tmp_path / "small.mp4", replace(settings, upscale=1)))
    shrunk = found[-1].reshape(32, 2, 32, 2, 3).mean((1, 3))
    assert np.abs(shrunk - small[-1]).mean() < 16


def test_frames_larger_than_a_video_can_be_are_refused(tmp_path):
    run = make_run(tmp_path, size="32", states=2)
    settings = VideoSettings(seconds=0.25, hold=0, fps=8, upscale=4, size=4000)
    with pytest.raises(ConfigError, match="8192 pixels a side"):
        render([run], tmp_path / "x.mp4", settings)
    assert not (tmp_path / "x.mp4").exists()
