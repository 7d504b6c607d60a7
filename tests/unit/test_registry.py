"""Finding generators by entry points."""

import sys
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest

from guidegen import registry
from guidegen.backend import Backend, GeneratorInfo
from guidegen.errors import GuidegenError, UnknownNameError


def backend(name, *variants):
    cards = {
        variant: GeneratorInfo(f"{name}/{variant}".strip("/"), "s", (16, 64), 32)
        for variant in variants or ("",)
    }
    return Backend(name, cards, "nowhere:build")


@pytest.fixture
def install(monkeypatch):
    """Puts objects where entry points find them."""
    found = []
    monkeypatch.setattr(registry, "entry_points", lambda group: found)
    module = SimpleNamespace()
    monkeypatch.setitem(sys.modules, "fake_plugins", module)

    def add(name, value, attribute=None):
        attribute = attribute or f"{name}_{len(found)}"
        setattr(module, attribute, value)
        found.append(EntryPoint(name, f"fake_plugins:{attribute}", registry.GROUP))

    return add


def test_find_takes_the_default_the_only_one_or_the_named(install):
    install("plain", backend("plain"))
    install("single", backend("single", "small"))
    install("big", backend("big", "128", "256"))
    assert registry.find("plain")[1] == ""
    assert registry.find("single")[1] == "small"
    found, variant = registry.find("big/256")
    assert found.variants[variant].name == "big/256"
    assert list(registry.backends()) == ["big", "plain", "single"]


def test_unknown_names_offer_the_nearest(install):
    install("collage", backend("collage"))
    install("biggan", backend("biggan", "deep-128", "deep-256"))
    with pytest.raises(UnknownNameError, match="did you mean collage"):
        registry.find("colage")
    with pytest.raises(UnknownNameError, match="did you mean biggan/deep-256"):
        registry.find("biggan/deep256")
    with pytest.raises(UnknownNameError, match="name one: biggan/deep-128, biggan/deep-256"):
        registry.find("biggan")
    with pytest.raises(UnknownNameError, match="no generator is called 'collage/x'"):
        registry.find("collage/x")


def test_nothing_installed_says_what_to_do(install):
    with pytest.raises(UnknownNameError, match="pip install"):
        registry.find("collage")
    with pytest.raises(
        UnknownNameError, match=r"no loss is called .tv.: none is installed; .* pip"
    ):
        registry.find_loss("tv")


def test_a_broken_plug_in_harms_only_itself(install):
    install("good", backend("good"))
    registry.entry_points("").append(EntryPoint("gone", "no_such_module:x", registry.GROUP))
    install("wrong", object())
    install("named", backend("otherwise"))
    install("empty", Backend("empty", {}, "x:y"))
    assert list(registry.backends()) == ["good"]
    assert set(registry.broken()) == {"gone", "wrong", "named", "empty"}
    with pytest.raises(GuidegenError, match="ModuleNotFoundError"):
        registry.find("gone")
    assert registry.find("good")[0].name == "good"


def test_two_of_one_name_are_refused(install):
    install("good", backend("good"))
    install("twin", backend("twin"))
    install("twin", backend("twin"))
    with pytest.raises(GuidegenError, match="two packages offer it"):
        registry.find("twin")
    assert list(registry.backends()) == ["good"]


def test_the_same_entry_seen_twice_is_no_clash(install):
    install("good", backend("good"), "same")
    install("good", backend("good"), "same")
    assert list(registry.backends()) == ["good"]


def test_ours_are_found_without_torch():
    assert {"collage", "fourier", "pixels"} <= set(registry.backends())


@pytest.mark.parametrize("error", ["SystemExit(0)", "SystemExit('bye')", "GeneratorExit()"])
def test_a_plug_in_that_exits_while_it_is_imported_harms_only_itself(
    install, tmp_path, monkeypatch, error
):
    (tmp_path / "leaving_plug_in.py").write_text(f"raise {error}\n")
    monkeypatch.syspath_prepend(tmp_path)
    install("good", backend("good"))
    registry.entry_points("").append(EntryPoint("leaves", "leaving_plug_in:x", registry.GROUP))
    assert list(registry.backends()) == ["good"]
    assert error.partition("(")[0] in registry.broken()["leaves"]
    with pytest.raises(GuidegenError, match="leaves"):
        registry.find("leaves")


def test_a_plug_in_that_exits_while_it_loads_is_an_error(install, monkeypatch):
    install("leaves", backend("leaves"))
    monkeypatch.setattr(Backend, "load", lambda *args, **more: sys.exit("bye"))
    with pytest.raises(GuidegenError, match=r"wanted to exit \(bye\)"):
        registry.load_generator("leaves", (), size=(16, 16), device="cpu", precision="fp32")


@pytest.mark.parametrize("module", ["plug_alone", "plug_package.inner"])
def test_a_plug_in_is_told_apart_by_its_code(tmp_path, monkeypatch, module):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "plug_package").mkdir()
    files = [tmp_path / "plug_alone.py", tmp_path / "plug_package" / "inner.py"]
    for file in (*files, tmp_path / "plug_package" / "__init__.py"):
        file.write_text("a = 1\n")
    plug_in = Backend("x", backend("x").variants, f"{module}:build")
    before = plug_in.code_digest()
    assert before == plug_in.code_digest() != ""
    for file in files:
        file.write_text("a = 2\n")
    assert plug_in.code_digest() not in ("", before)


def test_what_ships_is_told_apart_by_its_version():
    assert registry.backends()["pixels"].code_digest() == ""
