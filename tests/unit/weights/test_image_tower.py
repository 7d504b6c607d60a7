"""Folders that hold an image tower only, and take the rest from the embedded CLIP."""

import json
import shutil

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file
from torchvision.transforms.functional import normalize

from guidegen.clip.perceptor import check_specs, load_perceptor
from guidegen.errors import UnknownNameError, WeightsError
from guidegen.training.clip import model as clip
from guidegen.weights.open_clip_weights import IMAGE_TOWER, embedded_variants
from guidegen.weights.store import embedded


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The embedded CLIP with another image tower, as a whole model."""
    folder = tmp_path_factory.mktemp("models") / "whole"
    shutil.copytree(embedded("clip"), folder)
    state = load_file(folder / clip.WEIGHTS)
    state["visual.head.proj.weight"] = -state["visual.head.proj.weight"]
    save_file(state, folder / clip.WEIGHTS, metadata={"format": "pt"})
    (folder / "curves.jsonl").write_text('{"step": 1}\n')
    return folder


@pytest.fixture(scope="module")
def slim(whole):
    folder = whole.with_name("slim")
    folder.mkdir()
    (folder / "README.md").write_text("a card")
    clip.save_image_tower(whole, folder)
    return folder


def load(folder):
    return load_perceptor(f"local-dir:{folder}", device="cpu", precision="fp32")


@pytest.mark.slow
def test_a_slim_folder_is_the_whole_model_without_its_text_tower(whole, slim):
    assert {path.name for path in slim.iterdir()} == {
        "README.md", clip.CONFIG, "curves.jsonl", IMAGE_TOWER,
    }  # fmt: skip
    size = sum(path.stat().st_size for path in slim.iterdir())
    assert size < 0.4 * sum(path.stat().st_size for path in whole.iterdir())
    one, other = load(whole), load(slim)
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(one.encode_image(picture), other.encode_image(picture))
    assert torch.equal(one.encode_text(["a red apple"]), other.encode_text(["a red apple"]))
    plain = load_perceptor("embedded", device="cpu", precision="fp32")
    assert not torch.allclose(plain.encode_image(picture), other.encode_image(picture))
    assert torch.equal(plain.encode_text(["an owl"]), other.encode_text(["an owl"]))
    assert other.digest not in (plain.digest, one.digest)


@pytest.mark.slow
def test_a_tower_may_see_smaller_pictures_than_the_embedded_one(whole, tmp_path):
    clip.save_image_tower(whole, tmp_path / "small", size=64)
    small = load(tmp_path / "small")
    assert small.input_size == 64
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(small.encode_image(picture), load(whole).encode_image(picture))


def test_a_tower_may_be_another_network_than_the_embedded_one(tmp_path):
    config = json.loads((embedded("clip") / clip.CONFIG).read_text())
    config["model_cfg"]["vision_cfg"] |= {"timm_model_name": "test_resnet", "image_size": 64}
    (tmp_path / clip.CONFIG).write_text(json.dumps(config))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tower = open_clip.CLIP(**config["model_cfg"]).visual.eval()
    save_file(tower.state_dict(), tmp_path / IMAGE_TOWER)
    other, plain = load(tmp_path), load_perceptor("embedded", device="cpu", precision="fp32")
    assert other.input_size == 64
    assert torch.equal(plain.encode_text(["an owl"]), other.encode_text(["an owl"]))
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    cfg = config["preprocess_cfg"]
    with torch.no_grad():
        wanted = tower(normalize(picture, cfg["mean"], cfg["std"]))
    found = other.encode_image(picture)
    assert torch.allclose(found, torch.nn.functional.normalize(wanted, dim=1), atol=1e-4)


@pytest.mark.slow
def test_a_changed_tower_changes_the_digest(slim, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(slim, other)
    state = load_file(other / IMAGE_TOWER)
    state["head.proj.weight"] = state["head.proj.weight"] * 2
    save_file(state, other / IMAGE_TOWER)
    assert load(other).digest != load(slim).digest


@pytest.mark.slow
def test_towers_that_do_not_fit_are_refused_in_one_line(slim, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(slim, broken)
    state = load_file(slim / IMAGE_TOWER)
    del state["head.proj.weight"]
    save_file(state, broken / IMAGE_TOWER)
    with pytest.raises(WeightsError, match=r"head\.proj\.weight") as caught:
        load(broken)
    assert "\n" not in str(caught.value)
    state["head.proj.weight"] = torch.full((384, 1280), torch.nan)
    save_file(state, broken / IMAGE_TOWER)
    with pytest.raises(WeightsError, match="not finite"):
        load(broken)
    (broken / IMAGE_TOWER).write_bytes(b"no tensors")
    with pytest.raises(WeightsError, match="no whole safetensors file"):
        load(broken)


def test_another_architecture_is_refused(slim, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(slim, other)
    config = json.loads((other / clip.CONFIG).read_text())
    config["model_cfg"]["embed_dim"] = 128
    (other / clip.CONFIG).write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="another architecture"):
        load(other)


def test_a_text_tower_of_its_own_can_not_be_left_out(whole, tmp_path):
    folder = tmp_path / "own"
    shutil.copytree(whole, folder)
    state = load_file(folder / clip.WEIGHTS)
    state["text_projection"] = state["text_projection"] * 2
    save_file(state, folder / clip.WEIGHTS)
    with pytest.raises(WeightsError, match="not that of the embedded CLIP"):
        clip.save_image_tower(folder, tmp_path / "slim")
    assert not (tmp_path / "slim").exists()


def test_embedded_towers_are_known_by_name():
    assert embedded_variants()[0] == ""
    for variant in embedded_variants():
        check_specs([f"embedded/{variant}@0.7" if variant else "embedded@0.3"])
    for wrong in ("embedded/robuts", "embedded/vqgan", "embedded/../clip"):
        with pytest.raises(UnknownNameError, match="no perceptor"):
            check_specs([wrong])
