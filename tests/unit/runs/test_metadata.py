"""What a PNG tells about itself, and how it is read back."""

import json
import os
import re
import shlex
import subprocess
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from guidegen.config import make_config
from guidegen.errors import InputImageError
from guidegen.runs import metadata
from guidegen.utils.versions import own_version

PROMPT = 'a "red" apple: 苹果 🍎 <&>\x01 | fog:0.3'
CONFIG = make_config(
    {
        "prompt": PROMPT,
        "negative": ["blur, noise", "text"],
        "seed": 7,
        "steps": 60,
        "lr": 0.05,
        "perceptor": ["embedded", "RN50/openai@0.5"],
        "out": "/home/somebody/secret",
    }
)
IMAGE = Image.new("RGB", (48, 32), (200, 10, 20))
EXT = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"


def save(tmp_path, config=CONFIG, **more):
    path = tmp_path / "x.png"
    path.write_bytes(metadata.save_png(IMAGE, config, **more))
    return path


def test_round_trip(tmp_path):
    path = save(tmp_path, scores={"similarity": 0.31}, models={"clip": "ab" * 32}, version="9.9")
    record = metadata.read(path)
    assert record.config == CONFIG.model_copy(update={"out": record.config.out})
    assert record.scores == {"similarity": 0.31}
    assert record.models == {"clip": "ab" * 32}
    assert record.version == "9.9"
    with Image.open(path) as image:
        assert image.convert("RGB").tobytes() == IMAGE.tobytes()


def test_no_path_of_the_user_is_told(tmp_path):
    assert b"somebody" not in save(tmp_path).read_bytes()


def test_parameters_are_read_as_other_tools_read_them(tmp_path):
    with Image.open(save(tmp_path, version="9.9")) as image:
        lines = image.info["parameters"].split("\n")
    assert lines[0] == PROMPT
    assert lines[1] == "Negative prompt: blur, noise, text"
    # The web UI's reading of the last line: key: value, where a value with a comma is quoted.
    found = dict(re.findall(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)', lines[2]))
    assert found["Steps"] == "60"
    assert found["Seed"] == "7"
    assert found["Size"] == "48x32"
    assert found["Model"] == "collage"
    assert found["Perceptor"] == '"embedded, RN50/openai@0.5"'
    assert found["Version"] == "guidegen 9.9"


@pytest.mark.parametrize(
    ("init", "kind"),
    [(None, "trainedAlgorithmicMedia"), ("i.png", "compositeWithTrainedAlgorithmicMedia")],
)
def test_the_xmp_marks_it_as_made_by_ai(tmp_path, init, kind):
    config = make_config({"prompt": PROMPT, "init_image": init})
    with Image.open(save(tmp_path, config, version="9.9")) as image:
        packet = image.info["xmp"]
    packet = packet.decode() if isinstance(packet, bytes) else packet
    root = ET.fromstring(packet)
    told = {element.tag.removeprefix(EXT): element.text for element in root.iter()}
    assert told["DigitalSourceType"] == f"http://cv.iptc.org/newscodes/digitalsourcetype/{kind}"
    assert told["AISystemUsed"].startswith("guidegen (collage")
    assert told["AISystemVersionUsed"] == "9.9"
    assert told["AIPromptInformation"] == PROMPT.replace("\x01", "\ufffd")


def test_no_metadata_means_none(tmp_path):
    config = CONFIG.model_copy(update={"metadata": False})
    path = save(tmp_path, config, scores={"similarity": 1})
    with Image.open(path) as image:
        assert image.info == {}
    chunks = path.read_bytes()
    assert not any(kind in chunks for kind in (b"tEXt", b"iTXt", b"zTXt", b"eXIf"))
    with pytest.raises(InputImageError, match="no guidegen metadata"):
        metadata.read(path)


def test_text_of_a_loaded_picture_is_not_carried_over():
    image = IMAGE.copy()
    image.info["Comment"] = "private"
    data = metadata.save_png(image, CONFIG.model_copy(update={"metadata": False}))
    assert b"private" not in data


def other(tmp_path, kind):
    path = tmp_path / f"x.{kind}"
    if kind == "gif":
        IMAGE.save(path)
    elif kind == "txt":
        path.write_text("hello")
    elif kind == "cut":
        path.write_bytes(metadata.save_png(IMAGE, CONFIG)[:60])
    elif kind == "png":
        info = PngInfo()
        info.add_itxt("guidegen", '{"config": {}}')
        IMAGE.save(path, pnginfo=info)
    elif kind == "dir":
        path.mkdir()
    return path


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("gif", "GIF; guidegen's pictures are PNG"),
        ("txt", "no image"),
        ("cut", "x.cut"),
        ("png", "can't be read"),
        ("dir", "is a folder"),
        ("none", "no picture at"),
    ],
)
def test_what_can_not_be_read_is_refused(tmp_path, kind, says):
    with pytest.raises(InputImageError, match=says) as caught:
        metadata.read(other(tmp_path, kind))
    assert "\n" not in str(caught.value)


def test_the_command_names_what_is_not_default():
    words = shlex.split(metadata.command(CONFIG))
    assert words[:2] == ["guidegen", "generate"]
    assert words[3:7] == ["--negative", "blur, noise", "--negative", "text"]
    assert "--generator" not in words
    assert metadata.command(make_config({"prompt": "a"})) == "guidegen generate a"
    odd = make_config({"prompt": "-5 degrees", "negative": "-x", "metadata": False})
    assert metadata.command(odd) == "guidegen generate --negative=-x --no-metadata -- '-5 degrees'"


def test_a_shell_reads_the_command_as_it_was_meant_and_a_terminal_sees_no_escape():
    prompt = '\x1b]0;title\x07 it\'s \\ a \u202e\x9b2J "cat" $(date) `id` !x 👩‍🚀 苹果\n9'
    config = make_config({"prompt": prompt, "negative": "$HOME\x1b7", "init_image": "\udcff.png"})
    text = metadata.command(config)
    assert all(char.isprintable() or char == "\u200d" for char in text)
    split = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {text}"], capture_output=True, check=True
    ).stdout.split(b"\0")
    assert split[2].decode() == prompt
    assert b"$HOME\x1b7" in split
    assert b"\xff.png" in split


def forged(tmp_path, data):
    """A PNG of somebody else's with text under our key."""
    info = PngInfo()
    info.add_itxt("guidegen", data if isinstance(data, str) else json.dumps(data))
    IMAGE.save(tmp_path / "forged.png", pnginfo=info)
    return tmp_path / "forged.png"


GOOD = {"config": {"prompt": "a"}, "scores": {}, "models": {}, "version": "1"}


def test_a_smuggled_place_to_write_is_not_honoured(tmp_path):
    config = {"prompt": "a", "out": "/etc/cron.d/x.png"}
    record = metadata.read(forged(tmp_path, {**GOOD, "config": config}))
    assert record.config.out == make_config({"prompt": "a"}).out
    assert metadata.command(record.config) == "guidegen generate a"


@pytest.mark.parametrize(
    "data",
    [
        "[" * 100_000,
        '{"config": ' + '{"a": ' * 100_000,
        [],
        7,
        {**GOOD, "config": []},
        {**GOOD, "config": {"prompt": "x" * 10_001}},
        {**GOOD, "config": {"prompt": 7}},
        {**GOOD, "scores": {"a": "1"}},
        {**GOOD, "scores": {"a": True}},
        {**GOOD, "scores": {"a": 10**400}},
        {**GOOD, "scores": {"a": float("nan")}},
        {**GOOD, "scores": []},
        {**GOOD, "models": {"a": 1}},
        {**GOOD, "models": {"a": "x" * 600}},
        {**GOOD, "models": {str(i): "" for i in range(300)}},
        {**GOOD, "version": ["1"]},
        '{"config": 1' + "0" * 5000 + "}",
    ],
)
def test_forged_metadata_is_refused_in_one_short_line(tmp_path, data):
    with pytest.raises(InputImageError, match="can't be read") as caught:
        metadata.read(forged(tmp_path, data))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.slow
def test_a_prompt_of_fifty_megabytes_is_refused_at_once(tmp_path):
    path = forged(tmp_path, {**GOOD, "config": {"prompt": "x" * 50_000_000}})
    began = time.process_time()
    with pytest.raises(InputImageError, match="that is no prompt"):
        metadata.read(path)
    assert time.process_time() - began < 10


def test_the_line_of_settings_names_each_as_the_web_ui_does():
    config = CONFIG.model_copy(
        update={"perceptor": ("a", "ö\nb"), "template": 'a "photo" of {}', "optimizer": "radam"}
    )
    line = metadata.parameters(config, (48, 32), "9.9").split("\n")[-1]
    assert line == (
        "Steps: 60, Sampler: radam, Seed: 7, Size: 48x32, Model: collage, "
        f'Perceptor: "a, ö\\nb", Learning rate: {config.lr}, Cutouts: {config.cutouts}, '
        'Template: "a \\"photo\\" of {}", Version: guidegen 9.9'
    ).replace("Learning rate: None, ", "").replace("Cutouts: None, ", "")


def test_the_xmp_names_every_clip():
    config = CONFIG.model_copy(update={"perceptor": ("a", "b & <c>")})
    assert "<Iptc4xmpExt:AISystemUsed>guidegen (collage, a, b &amp; &lt;c&gt;)<" in metadata.xmp(
        config, "9.9"
    )


def test_a_video_tells_what_it_shows_and_no_path():
    config = make_config({"prompt": "a fox", "seed": 3, "out": "/home/somebody/x"})
    assert metadata.captions(config) == {
        "title": "a fox",
        "comment": "guidegen generate 'a fox' --seed 3",
        "description": f"AI-generated with guidegen {own_version()}",
    }
    assert metadata.captions(config.model_copy(update={"metadata": False})) == {}
    odd = config.model_copy(update={"init_image": Path(os.fsdecode(b"\xff.png"))})
    assert metadata.captions(odd)["comment"].encode().endswith(rb"--init-image $'\377.png'")
