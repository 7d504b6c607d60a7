"""The texts in a picture's file to the letter, the limits of what is read, and what is refused."""

import io
import json

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from guidegen.config import make_config
from guidegen.errors import InputImageError
from guidegen.runs import metadata
from guidegen.utils.versions import own_version

CONFIG = make_config({"prompt": "a 苹果", "init_image": "\udcff.png", "negative": ["b", "c"]})
IMAGE = Image.new("RGB", (48, 32), (200, 10, 20))
GOOD = {"config": {"prompt": "a"}, "scores": {}, "models": {}, "version": "1"}


def texts(data):
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "PNG"
        return dict(image.text)


def record(version, scores, models):
    config = CONFIG.model_dump(mode="json", exclude={"out"})
    told = {"version": version, "config": config, "scores": scores, "models": models}
    return json.dumps(told, ensure_ascii=False).replace("\udcff", "\\udcff")


def test_a_png_holds_three_texts_and_these():
    data = metadata.save_png(IMAGE, CONFIG, scores={"s": 0.5}, models={"m": "ab"}, version="9.9")
    assert texts(data) == {
        "parameters": metadata.parameters(CONFIG, (48, 32), "9.9"),
        "guidegen": record("9.9", {"s": 0.5}, {"m": "ab"}),
        "XML:com.adobe.xmp": metadata.xmp(CONFIG, "9.9"),
    }
    assert metadata.encode(IMAGE, CONFIG, ".png", scores={"s": 0.5}, models={"m": "ab"},
                           version="9.9") == data  # fmt: skip


def test_untold_the_version_is_the_running_one_and_the_tables_are_empty():
    found = texts(metadata.save_png(IMAGE, CONFIG))
    assert found["guidegen"] == record(own_version(), {}, {})
    assert found["parameters"].endswith(f", Version: guidegen {own_version()}")
    assert texts(metadata.save_png(IMAGE, CONFIG.model_copy(update={"metadata": False}))) == {}


def test_the_lines_of_a_plain_picture():
    config = make_config({"prompt": "a", "steps": 3, "lr": 0.5, "cutouts": 4})
    assert metadata.parameters(config, (3, 5), "1") == (
        "a\nSteps: 3, Sampler: adam, Seed: 0, Size: 3x5, Model: collage, Perceptor: embedded, "
        "Learning rate: 0.5, Cutouts: 4, Version: guidegen 1"
    )
    assert metadata.parameters(CONFIG, (3, 5), "1").split("\n")[:2] == [
        "a 苹果",
        "Negative prompt: b, c",
    ]
    quoted = config.model_copy(update={"generator": "a:ö", "template": 'x"y'})
    line = metadata.parameters(quoted, (3, 5), "1")
    assert 'Model: "a:ö", ' in line
    assert 'Template: "x\\"y", ' in line


def test_the_xmp_to_the_letter():
    config = make_config({"prompt": 'a "<b>" & c\x01', "perceptor": ["p", "q"]})
    assert metadata.xmp(config, "9").split("\n") == [
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>',
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">',
        ' <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">',
        '  <rdf:Description rdf:about=""',
        '    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"',
        '    xmlns:xmp="http://ns.adobe.com/xap/1.0/">',
        "   <Iptc4xmpExt:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/"
        "trainedAlgorithmicMedia</Iptc4xmpExt:DigitalSourceType>",
        "   <Iptc4xmpExt:AISystemUsed>guidegen (collage, p, q)</Iptc4xmpExt:AISystemUsed>",
        "   <Iptc4xmpExt:AISystemVersionUsed>9</Iptc4xmpExt:AISystemVersionUsed>",
        '   <Iptc4xmpExt:AIPromptInformation>a "&lt;b&gt;" &amp; c\ufffd'
        "</Iptc4xmpExt:AIPromptInformation>",
        "   <xmp:CreatorTool>guidegen 9</xmp:CreatorTool>",
        "  </rdf:Description>",
        " </rdf:RDF>",
        "</x:xmpmeta>",
        '<?xpacket end="w"?>',
    ]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"video": True, "preview": False}, "a --no-preview --video"),
        ({"perceptor": ["x", "-y"]}, "a --perceptor x --perceptor=-y"),
        ({"shift": "-1,0"}, "a --shift=-1,0"),
        ({"seed": 7, "out": "there"}, "a --seed 7 --out there"),
        # a default stands there where the preset says otherwise, the preset's own values don't
        ({"preset": "vqgan-clip"}, "a --preset vqgan-clip"),
        ({"preset": "vqgan-clip", "cutout_method": "views"},
         "a --preset vqgan-clip --cutout-method views"),
    ],
)  # fmt: skip
def test_the_command_to_the_letter(fields, words):
    config = make_config({"prompt": "a", **fields})
    found = metadata.command(config).removeprefix("guidegen generate ")
    if fields.get("preset"):
        assert set(words.split()) <= set(found.split())
        assert ("--cutout-method views" in found) is ("cutout_method" in fields)
    else:
        assert sorted(found.split()) == sorted(words.split())


def forged(tmp_path, text):
    info = PngInfo()
    info.add_itxt("guidegen", text if isinstance(text, str) else json.dumps(text))
    IMAGE.save(tmp_path / "x.png", pnginfo=info)
    return tmp_path / "x.png"


def refused(path):
    with pytest.raises(InputImageError) as caught:
        metadata.read(path)
    return str(caught.value).removeprefix(f"{path} ")


def test_what_is_just_within_the_limits_is_read(tmp_path):
    data = {
        "config": {"prompt": "a", "out": "/etc/x"},
        "scores": {str(i): i for i in range(256)},
        "models": {"n" * 512: "m" * 512},
        "version": "v" * 512,
    }
    found = metadata.read(forged(tmp_path, data))
    assert found.config == make_config({"prompt": "a"})
    assert found.scores == data["scores"]
    assert all(type(value) is float for value in found.scores.values())
    assert (found.models, found.version) == (data["models"], data["version"])
    text = json.dumps(GOOD)
    assert metadata.read(forged(tmp_path, text + " " * (2**20 - len(text)))).version == "1"


NO_TABLE = "no table of up to 256 entries where there should be one"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"scores": {str(i): i for i in range(257)}}, NO_TABLE),
        ({"models": 3}, NO_TABLE),
        ({"config": []}, NO_TABLE),
        ({"version": "v" * 513}, "a name is no short text"),
        ({"version": 1}, "a name is no short text"),
        ({"models": {"n" * 513: ""}}, "a name is no short text"),
        ({"models": {"n": None}}, "a name is no short text"),
        ({"scores": {"n" * 513: 1}}, "a name is no short text"),
        ({"scores": {"n": True}}, "a score is no number"),
        ({"scores": {"n": float("inf")}}, "a score is no number"),
        ({"scores": {"n": "1"}}, "a score is no number"),
        ({"config": {"prompt": "a", "steps": "many\nmore"}}, None),
    ],
)
def test_what_is_beyond_them_is_told(tmp_path, change, why):
    told = refused(forged(tmp_path, {**GOOD, **change}))
    start = "has guidegen metadata that can't be read: "
    assert told.startswith(start)
    assert told == start + why if why else "steps" in told


def test_a_long_reason_is_cut_to_200_characters(tmp_path):
    told = refused(forged(tmp_path, {**GOOD, "config": {"prompt": "a", "x" * 500: 1}}))
    assert len(told) == len("has guidegen metadata that can't be read: ") + 200


def test_a_text_beyond_a_mebi_of_characters_is_no_prompt(tmp_path):
    text = json.dumps(GOOD)
    told = refused(forged(tmp_path, text + " " * (2**20 + 1 - len(text))))
    assert told == "has guidegen metadata of 1,048,577 characters; that is no prompt"


def test_pictures_of_others_are_told_as_such(tmp_path):
    IMAGE.save(tmp_path / "x.png")
    assert refused(tmp_path / "x.png") == (
        "has no guidegen metadata: it was made by something else or without metadata, "
        "or a program took it out"
    )
    IMAGE.save(tmp_path / "x.bmp")
    assert refused(tmp_path / "x.bmp") == "is BMP; guidegen's pictures are PNG, JPEG or WebP"
    assert refused(tmp_path / "none.png") == f"there is no picture at {tmp_path / 'none.png'}"


def test_a_text_behind_the_pixels_is_found_too(tmp_path):
    path = forged(tmp_path, GOOD)
    data = path.read_bytes()
    start = data.index(b"iTXt") - 4
    chunk = data[start : start + 12 + int.from_bytes(data[start : start + 4])]
    rest = data.replace(chunk, b"")
    path.write_bytes(rest[:-12] + chunk + rest[-12:])
    with Image.open(path) as image:
        assert "guidegen" not in image.info
    assert metadata.read(path).version == "1"


def test_a_record_that_tells_nothing_else_is_plain():
    assert metadata.Record(CONFIG) == metadata.Record(CONFIG, {}, {}, "")
