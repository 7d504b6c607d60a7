import hashlib
import io
import json
import tarfile
import zipfile

import pytest
from PIL import Image

from guidegen.errors import DataError
from guidegen.training.data import fetch, packages
from guidegen.training.data.clipart import namer as clipart_namer
from guidegen.training.data.dataset import CaptionedImages
from guidegen.training.data.drawings import FileDrawings
from guidegen.training.data.naming import (
    EmojiNames,
    emoji_namer,
    from_freedesktop,
    from_slug,
    plain_caption,
)
from guidegen.training.data.rasterise import centred, colour_shares, is_grey, look, trim
from guidegen.training.data.sources import SOURCES, Package, Source

EMOJI = [
    {"label": "red apple", "hexcode": "1F34E", "emoji": "🍎", "group": 4, "subgroup": 1}
    | {"tags": ["apple", "fruit"]},
    {
        "label": "boy",
        "hexcode": "1F466",
        "emoji": "👦",
        "group": 1,
        "subgroup": 2,
        "tags": ["young"],
    }
    | {"skins": [{"label": "boy: dark skin tone", "hexcode": "1F466-1F3FF"}]},
    {"label": "flag: Peru", "hexcode": "1F1F5-1F1EA", "emoji": "🇵🇪", "group": 9, "subgroup": 3},
]
MESSAGES = {
    "groups": [
        {"order": 1, "message": "people & body"},
        {"order": 4, "message": "food & drink"},
        {"order": 9, "message": "flags"},
    ],
    "subgroups": [
        {"order": 1, "key": "food-fruit"},
        {"order": 2, "key": "person"},
        {"order": 3, "key": "country-flag"},
    ],
}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")


@pytest.fixture
def names(tmp_path):
    write(tmp_path / "base/package/en/data.json", EMOJI)
    write(tmp_path / "base/package/en/messages.json", MESSAGES)
    write(tmp_path / "lib/package/dist/emoji-en-US.json", {"🍎": ["red_apple", "mac"]})
    return EmojiNames(tmp_path / "base", tmp_path / "lib")


def source(key="noto", **other):
    package = Package(name=key, registry="npm", version="1", sha256="0" * 64)
    fields = {"author": "A", "licence": "MIT", "style": "emoji", "naming": "emoji"} | other
    return Source(key=key, package=package, **fields)


@pytest.mark.parametrize(
    ("label", "caption"),
    [
        ("woman: light skin tone, red hair", "woman with red hair and light skin tone"),
        ("man: medium-dark skin tone, bald", "bald man with medium-dark skin tone"),
        ("family: man, boy", "family of man and boy"),
        ("flag: Peru", "flag of peru"),
        ("Japanese “here” button", "japanese here button"),
    ],
)
def test_unicode_names_become_plain_captions(label, caption):
    assert plain_caption(label) == caption


def test_emoji_are_found_by_code_points_and_by_icon_names(names, tmp_path):
    apple = names.by_code("1f34e")
    assert apple == names.by_slug("red-apple") == names.by_slug("redapple")
    assert (apple.group, apple.keywords) == (
        "food & drink/food-fruit",
        ("apple", "fruit", "red apple", "mac"),
    )
    assert names.by_slug("boy-dark").caption == "boy with dark skin tone"
    assert names.by_slug("boy-dark-skin-tone").concept == "boy"
    assert names.by_slug("flag-for-peru").caption == names.by_slug("peru").caption == "flag of peru"
    assert names.by_slug("nothing-like-it") is None
    write(tmp_path / "chars.json", {"1f34e": "pomme"})
    assert emoji_namer(names, tmp_path / "chars.json")("pomme").caption == "red apple"
    assert emoji_namer(names, None)("redboy").caption == "red boy"


def test_icon_names_lose_variants_numbers_and_logos():
    assert from_slug("microphone-3-duo").caption == "microphone"
    assert from_slug("ubmrella").caption == "umbrella"
    assert from_slug("google") is None
    assert from_freedesktop("scalable/devices/camera-photo.svg").caption == "camera photo"
    assert from_freedesktop("22x22/devices/camera-photo.svg") is None


def test_clip_art_is_named_by_its_title_else_by_its_file(tmp_path):
    rdf = "<dc:title>{}</dc:title><dc:creator>Jo Doe</dc:creator><rdf:li>sea</rdf:li>{}"
    free = "http://web.resource.org/cc/PublicDomain"
    write(tmp_path / "geo/lighthouse_jo_doe_01.svg", rdf.format("Old Lighthouse 2", free))
    write(tmp_path / "geo/green_hill_jo_doe_01.svg", rdf.format("", free))
    write(tmp_path / "geo/mine_01.svg", rdf.format("Mine", "all rights reserved"))
    write(tmp_path / "computer/icons/a.svg", rdf.format("An icon", free))
    label = clipart_namer(FileDrawings(tmp_path, ".svg"))
    assert label("geo/lighthouse_jo_doe_01.svg").caption == "old lighthouse"
    assert label("geo/lighthouse_jo_doe_01.svg").keywords == ("sea", "geo")
    assert label("geo/green_hill_jo_doe_01.svg").caption == "green hill"
    assert label("geo/mine_01.svg") is None
    assert label("computer/icons/a.svg") is None


def test_pictures_are_trimmed_centred_and_described():
    picture = Image.new("RGBA", (100, 60))
    picture.paste((220, 30, 30, 255), (10, 20, 50, 40))
    cut = trim(picture, 120)
    assert cut.size == (120, 60)
    assert centred(cut, 128).getchannel("A").getbbox() == (4, 34, 124, 94)
    assert colour_shares(cut) == [("red", 1.0)]
    assert not is_grey(cut)
    assert (
        look(cut) == look(cut.resize((240, 120))) != look(cut.transpose(Image.Transpose.ROTATE_90))
    )
    with pytest.raises(DataError, match="empty"):
        trim(Image.new("RGBA", (4, 4)), 10)


def test_splits_depend_on_the_concept_alone():
    concepts = [f"thing-{i}" for i in range(3000)]
    splits = {c: packages.split_of(c, f"noto:{c}") for c in concepts}
    assert splits == {c: packages.split_of(c, f"noto:{c}") for c in reversed(concepts)}
    share = {s: list(splits.values()).count(s) / 3000 for s in set(splits.values())}
    assert 0.03 < share["val_concept"] < 0.05
    assert 0.03 < share["val"] < 0.05
    held_out = [c for c, split in splits.items() if split == "val_concept"]
    assert all(packages.split_of(c, "another drawing") == "val_concept" for c in held_out)


@pytest.mark.needs("resvg_py")
def test_rebuild_writes_a_data_set_and_keeps_finished_sources(tmp_path, monkeypatch, names):
    icons = {
        "red-apple": {"body": '<circle cx="16" cy="16" r="12" fill="#d22"/>'},
        "boy": {"body": '<rect x="4" y="9" width="24" height="12" fill="#a62"/>'},
        "boy-again": {"body": '<rect x="4" y="9" width="24" height="12" fill="#a62"/>'},
        "needle": {"body": '<path d="M0 16H32" stroke="#000"/>'},
        "broken": {"body": "<g"},
    }
    write(tmp_path / "pack/package/icons.json", {"icons": icons, "width": 32, "height": 32})
    opened = []
    monkeypatch.setattr(
        packages, "unpacked", lambda p, cache: opened.append(p) or tmp_path / "pack"
    )
    monkeypatch.setattr(packages, "EmojiNames", lambda base, lib: names)
    monkeypatch.setattr(packages, "SOURCES", (source(), source("twemoji", use="judge")))
    out = tmp_path / "out.zip"
    report = packages.rebuild(out, cache=tmp_path / "cache", progress=False)
    assert report.per_source == {"noto": 2}  # look-alike, needle and broken drawing are gone
    data = CaptionedImages(out)
    assert [record.caption for record in data] == ["red apple", "boy"]
    assert data.image(data.records[0]).shape == (128, 128, 4)
    first = out.read_bytes()
    opened.clear()
    packages.rebuild(out, cache=tmp_path / "cache", progress=False)
    assert len(opened) == 2  # the names alone; the source was finished
    assert out.read_bytes() == first


def npm_file(path, content=b"{}"):
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo("package/icons.json")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_packages_are_taken_from_the_cache_verified(tmp_path, monkeypatch):
    digest = npm_file(tmp_path / "iconify-json-x-1.0.0.tgz")
    package = Package(name="@iconify-json/x", registry="npm", version="1.0.0", sha256=digest)
    folder = fetch.unpacked(package, tmp_path)
    assert (folder / "package/icons.json").read_bytes() == b"{}"
    monkeypatch.setattr(fetch.shutil, "which", lambda name: None)
    assert fetch.unpacked(package, tmp_path) == folder
    other = Package(name="@iconify-json/x", registry="npm", version="2", sha256="0" * 64)
    with pytest.raises(DataError, match="npm is missing; install Node"):
        fetch.unpacked(other, tmp_path)


def test_a_download_with_another_digest_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "_download", lambda package, folder: npm_file(folder / "x-1.tgz"))
    package = Package(name="x", registry="npm", version="1", sha256="0" * 64)
    with pytest.raises(DataError, match="sha256 is"):
        fetch.unpacked(package, tmp_path)
    assert not list(tmp_path.glob("*.tgz"))


def test_debian_packages_are_read_without_dpkg(tmp_path):
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:xz") as tar:
        info = tarfile.TarInfo("./usr/share/a.svg")
        info.size = 3
        tar.addfile(info, io.BytesIO(b"svg"))
    members = [
        (b"debian-binary", b"2.0\n"),
        (b"control.tar.xz", b"odd"),
        (b"data.tar.xz", inner.getvalue()),
    ]
    deb = b"!<arch>\n"
    for name, data in members:
        deb += (
            name.ljust(48)
            + str(len(data)).encode().ljust(10)
            + b"`\n"
            + data
            + b"\n" * (len(data) % 2)
        )
    path = tmp_path / "thing_1_all.deb"
    path.write_bytes(deb)
    digest = hashlib.sha256(deb).hexdigest()
    package = Package(name="thing", registry="apt", version="1", sha256=digest)
    assert (fetch.unpacked(package, tmp_path) / "usr/share/a.svg").read_bytes() == b"svg"


def test_every_source_is_pinned_and_openly_licensed():
    assert len({s.key for s in SOURCES}) == len(SOURCES)
    assert all(len(s.package.sha256) == 64 for s in SOURCES)
    licences = {use: {s.licence for s in SOURCES if s.use == use} for use in ("main", "judge")}
    assert licences["main"] == {"MIT", "Apache-2.0", "PD", "PD(CC-PDD)"}
    assert licences["judge"] == {"CC-BY-4.0"}


def test_zip_of_one_source_is_absent_or_whole(tmp_path, monkeypatch, names):
    def fail(*_):
        raise KeyboardInterrupt

    write(tmp_path / "package/icons.json", {"icons": {"red-apple": {"body": ""}}})
    monkeypatch.setattr(packages, "unpacked", lambda package, cache: tmp_path)
    monkeypatch.setattr(packages, "_cutouts", fail)
    with pytest.raises(KeyboardInterrupt):
        packages._finished(source(), names, tmp_path, progress=False)
    assert not [p for p in tmp_path.rglob("*.zip") if zipfile.is_zipfile(p)]
