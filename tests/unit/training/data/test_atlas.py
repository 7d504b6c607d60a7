import json
import zipfile

import pytest
from PIL import Image, ImageDraw

from guidegen.errors import DataError
from guidegen.training.data import atlas
from guidegen.training.data.rasterise import is_framed

pytestmark = pytest.mark.needs("resvg_py")

SHAPES = {
    "apple": '<circle cx="16" cy="16" r="12" fill="#d22"/>',
    "tile": '<rect width="32" height="32" fill="#22d"/>',
    "rod": '<path d="M2 2L30 30" stroke="#2a2" stroke-width="4"/>',
}


@pytest.fixture
def noto(tmp_path, monkeypatch):
    """A cache in which the package of `noto` has three icons."""
    folder = tmp_path / "noto" / "package"
    folder.mkdir(parents=True)
    icons = {name: {"body": body} for name, body in SHAPES.items()}
    (folder / "icons.json").write_text(json.dumps({"icons": icons, "width": 32, "height": 32}))
    monkeypatch.setattr(atlas, "unpacked", lambda package, cache: tmp_path / "noto")
    return tmp_path


def choice(folder, *rows):
    path = folder / "choice.tsv"
    path.write_text("\n".join("\t".join(row) for row in (atlas.COLUMNS, *rows)))
    return path


def build(folder, table, **options):
    out = folder / "patches.zip"
    report = atlas.build_atlas(
        out, cache=folder, choice=table, longest=48, progress=False, **options
    )
    with zipfile.ZipFile(out) as archive:
        lines = archive.read("patches.jsonl").decode().splitlines()
        pictures = [Image.open(archive.open(json.loads(line)["file"])) for line in lines]
        for picture in pictures:
            picture.load()
    return report, [json.loads(line) for line in lines], pictures


def test_patches_are_trimmed_named_and_licensed(noto):
    table = choice(noto, ("noto", "apple", "red apple", "apple", "", "fruit, food"))
    report, (record,), (picture,) = build(noto, table)
    assert (report.patches, report.concepts, report.per_source) == (1, 1, {"noto": 1})
    assert (record["name"], record["concept"]) == ("red apple", "apple")
    assert record["caption"] == "red apple"
    assert (record["keywords"], record["licence"]) == (["fruit", "food"], "Apache-2.0")
    assert record["colors"][0][0] == "red"
    assert picture.size == (48, 48)
    assert picture.mode == "RGBA"
    assert picture.getpixel((0, 0))[3] == 0


def test_a_framed_icon_is_left_out_unless_it_is_meant(noto):
    rows = [("noto", "tile", f"tile {kind}", "tile", kind, "") for kind in ("", "scene", "full")]
    report, records, _ = build(noto, choice(noto, *rows))
    assert [record["name"] for record in records] == ["tile scene", "tile full"]
    assert [record["scene"] for record in records] == [True, False]
    assert "framed" in report.left_out[0]


def test_a_drawing_that_is_not_in_the_package_is_reported(noto):
    rows = [("noto", "apple", "apple", "", "", ""), ("noto", "gone", "gone", "", "", "")]
    report, records, _ = build(noto, choice(noto, *rows))
    assert [record["concept"] for record in records] == ["apple"]
    assert report.left_out == ("noto gone: no such drawing in this package",)


def test_equal_input_gives_equal_bytes(noto):
    table = choice(noto, ("noto", "rod", "green rod", "", "", ""))
    build(noto, table)
    first = (noto / "patches.zip").read_bytes()
    build(noto, table)
    assert (noto / "patches.zip").read_bytes() == first


def test_an_atlas_over_the_limit_is_not_written(noto):
    table = choice(noto, ("noto", "apple", "apple", "", "", ""))
    with pytest.raises(DataError, match="more than 100"):
        build(noto, table, limit_bytes=100)
    assert not list(noto.glob("patches*"))


def test_bad_lines_of_the_choice_are_all_named(noto):
    table = choice(noto, ("nowhere", "a", "b", "", "", ""), ("noto", "apple"))
    with pytest.raises(DataError, match=r"line 2: nowhere.*line 3: noto apple"):
        atlas.read_choice(table)


def test_the_shipped_choice_is_sound():
    chosen = atlas.read_choice()
    assert len({item.concept for item in chosen}) >= 2000
    assert len({(item.source, item.id) for item in chosen}) == len(chosen)
    assert all(item.name == item.name.strip().lower() for item in chosen)
    assert sum(item.scene for item in chosen) > 40


@pytest.mark.parametrize(("radius", "framed"), [(0, True), (10, True), (50, False)])
def test_framed_means_full_with_straight_edges(radius, framed):
    picture = Image.new("RGBA", (100, 100))
    ImageDraw.Draw(picture).rounded_rectangle((0, 0, 99, 99), radius, fill=(9, 9, 99, 255))
    assert is_framed(picture) is framed
