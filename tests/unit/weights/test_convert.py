"""Import of checkpoints: every published layout, and everything that must be refused."""

import argparse
import hashlib
import io
import json
import os
import pickle
import zipfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from guidegen.errors import ConfigError, OutputError, WeightsError
from guidegen.utils.locks import waiting
from guidegen.weights import store as weights
from guidegen.weights.catalog import CLIP, read_registry
from guidegen.weights.convert import check_numbers, import_checkpoint, unpickle
from guidegen.weights.convert.schemas import expected_shapes, normal_config, read_config
from tests.helpers.synthetic import (
    BIGGAN_FAMILIES,
    VQGAN_FAMILIES,
    biggan_config,
    settled_biggan_state,
    vqgan_config,
    vqgan_state,
    vqgan_yaml,
    write_biggan,
    write_lightning,
    write_stored,
    write_vqgan,
)


@pytest.fixture(scope="module")
def tiny():
    """A VQGAN of 32 channels: its config and its tensors."""
    config = vqgan_config()
    return config, vqgan_state(config)


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("GUIDEGEN_WEIGHTS", str(tmp_path / "store"))
    return tmp_path / "store"


def files_in(store):
    return sorted(str(p.relative_to(store)) for p in store.rglob("*")) if store.exists() else []


def put(tmp_path, tiny, *, config=None, state=None, file="model.pt"):
    path = tmp_path / file
    torch.save(tiny[1] if state is None else state, path)
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(vqgan_yaml(config or tiny[0])))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", VQGAN_FAMILIES)
def test_each_published_vqgan_layout_is_imported(tmp_path, store, name):
    codes, wrapper = VQGAN_FAMILIES[name]
    path, config = write_vqgan(tmp_path / "in", name)
    published = read_registry().checkpoints[name]
    done = import_checkpoint(path, name, store, config=config, published=published)
    found = weights.stored(name)
    found.check()
    assert found.config == vqgan_config(name, codes)
    wanted = vqgan_state(vqgan_config(name, codes))
    tensors = load_file(found.weights)
    assert tensors.keys() == wanted.keys()
    assert all(torch.equal(tensors[key], wanted[key]) for key in wanted)
    dropped = {
        "net2net": {"transformer": 2, "cond_stage_model": 1},
        "first stage": {},
    }.get(wrapper, {"loss": 2})
    assert done.dropped == dropped
    source = json.loads((found.folder / "source.json").read_text())
    assert source["licence"] == published.licence
    assert source["dropped"] == dropped
    assert files_in(store / "vqgan") == [
        name.partition("/")[2],
        *(f"{name.partition('/')[2]}/{file}" for file in ("config.json", "model.safetensors",
                                                          "source.json")),
    ]  # fmt: skip


@pytest.mark.parametrize("name", BIGGAN_FAMILIES)
@pytest.mark.slow
def test_each_biggan_is_imported_with_the_config_beside_it(tmp_path, store, name):
    path = write_biggan(tmp_path / "in", name)
    import_checkpoint(path, name, store)
    found = weights.stored(name)
    assert found.config == biggan_config(name)
    tensors, wanted = load_file(found.weights), settled_biggan_state(biggan_config(name))
    assert tensors.keys() == wanted.keys()
    assert all(torch.equal(tensors[key], wanted[key]) for key in wanted)


@pytest.mark.parametrize("package", ["pytorch_lightning", "lightning.pytorch"])
def test_lightning_of_both_names_needs_no_lightning(tmp_path, store, tiny, package):
    path = write_lightning(tmp_path / "a.ckpt", tiny[1], package=package)
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(vqgan_yaml(tiny[0])))
    assert import_checkpoint(path, "vqgan/a", store).tensors == len(tiny[1])


def test_a_compressed_zip_is_read_and_a_flipped_bit_found(tmp_path, store, tiny):
    path = put(tmp_path, tiny)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "packed.pt", "w") as new:
        for member in old.infolist():
            new.writestr(member.filename, old.read(member), zipfile.ZIP_DEFLATED)
    import_checkpoint(tmp_path / "packed.pt", "vqgan/a", store)
    tensors = load_file(weights.stored("vqgan/a").weights)
    assert all(torch.equal(tensors[key], value) for key, value in tiny[1].items())
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=r"the checksum of .*/data/\d+ differs"):
        import_checkpoint(path, "vqgan/b", store)
    assert weights.installed() == ["vqgan/a"]


@pytest.mark.parametrize("wrapper", ["module.", "model."])
def test_half_precision_safetensors_under_a_wrapper(tmp_path, store, tiny, wrapper):
    half = {f"{wrapper}{key}": value.half() for key, value in tiny[1].items()}
    save_file(half, tmp_path / "a.safetensors")
    (tmp_path / "a.json").write_text(json.dumps(tiny[0]))
    import_checkpoint(tmp_path / "a.safetensors", "vqgan/a", store)
    tensors = load_file(weights.stored("vqgan/a").weights)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    assert tensors.keys() == tiny[1].keys()


@pytest.mark.slow
def test_what_the_registry_says_of_the_real_files_can_be_built():
    lengths = {"biggan/deep-256": 234_411_737, "biggan/deep-512": 235_773_527}
    lengths["vqgan/coco"] = 296_030_214
    for name, one in read_registry().checkpoints.items():
        if one.family == CLIP:
            continue
        config = normal_config(one.config, one.family)
        shapes = expected_shapes(config, one.family)
        size = sum(4 * torch.Size(shape).numel() for shape in shapes.values())
        assert one.size is None or size < one.size
        if name in lengths:  # nothing but these tensors is in there, and 0.1 % of names
            assert lengths[name] * 0.999 < size < lengths[name] == one.size
        codes = config.get("n_embed")
        assert codes is None or (codes, 256) in shapes.values()


def test_the_biggan_config_is_the_published_one_to_the_byte():
    config = normal_config(read_registry().checkpoints["biggan/deep-256"].config, "biggan")
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    published = "edd106f65ff28ee1638491a978cfa6bc50dfa0344aab70749a7b8eb08bbec677"
    assert hashlib.sha256(text.encode()).hexdigest() == published


class Canary:
    """Whoever unpickles it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("where", ["state", "beside", "wrapped"])
def test_a_pickle_that_wants_to_run_something_is_refused(tmp_path, store, tiny, zipped, where):
    canary = Canary(tmp_path / "canary")
    data = {
        "state": {**tiny[1], "quant_conv.bias": canary},
        "beside": {"state_dict": tiny[1], "callbacks": canary},
        "wrapped": {"state_dict": tiny[1], "hyper_parameters": {"x": [canary]}},
    }[where]
    path = put(tmp_path, tiny)
    torch.save(data, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match=r"(posix|nt)\.mkdir"):
        import_checkpoint(path, "vqgan/a", store)
    assert not (tmp_path / "canary").exists()
    assert files_in(store) == []
    # the test could fail: an ordinary load makes the file
    torch.load(path, weights_only=False)
    assert (tmp_path / "canary").exists()


def test_a_bare_pickle_and_a_whole_module_are_refused(tmp_path, store, tiny):
    path = put(tmp_path, tiny)
    path.write_bytes(pickle.dumps(Canary(tmp_path / "canary"), protocol=2))
    with pytest.raises(WeightsError, match=r"\.pt was refused.*posix|\.pt is cut short") as error:
        import_checkpoint(path, "vqgan/a", store)
    assert "weights_only" not in str(error.value)
    assert not (tmp_path / "canary").exists()
    torch.save(torch.nn.Sequential(torch.nn.Linear(2, 2)), path)
    with pytest.raises(WeightsError, match=r"torch\.nn\.modules\.container\.Sequential"):
        import_checkpoint(path, "vqgan/a", store)


def test_objects_beside_the_tensors_become_inert(tmp_path, store, tiny):
    path = put(tmp_path, tiny)
    beside = {"hparams": argparse.Namespace(lr=1), "path": Path("x"), "d": defaultdict(list, a=[1])}
    torch.save({"state_dict": tiny[1], **beside, "score": np.float64(0.5)}, path)
    assert import_checkpoint(path, "vqgan/a", store).tensors == len(tiny[1])
    loaded = unpickle._unpickle(path, mmap=True)
    assert loaded["d"] == {"a": [1]}
    assert type(loaded["d"]) is dict
    for name in ("hparams", "path", "score"):
        assert isinstance(loaded[name], unpickle._Inert)


def test_files_that_are_no_checkpoints(tmp_path, store, tiny):
    path = put(tmp_path, tiny)
    good = path.read_bytes()
    script = io.BytesIO()
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), script)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("holiday.jpg", b"x" * 99)
    cases = {
        b"": "empty",
        b"<!DOCTYPE html><html>404</html>": "web page",
        b"\n\n  <html><body>Quota exceeded": "web page",
        good[: len(good) // 2]: "cut short",
        good[:-30]: "cut short",
        b"\x80\x02}q\x00X": "cut short",
        b"version https://git-lfs.github.com/spec/v1\n": "no checkpoint",
        script.getvalue(): "TorchScript",
        archive.getvalue(): "no checkpoint of torch",
        b"\x10\0\0\0\0\0\0\0{\"a\": oops": "safetensors",
    }  # fmt: skip
    for data, why in cases.items():
        path.write_bytes(data)
        with pytest.raises(WeightsError, match=why):
            import_checkpoint(path, "vqgan/a", store)
        assert files_in(store) == []
    with pytest.raises(WeightsError, match="is a folder"):
        import_checkpoint(tmp_path, "vqgan/a", store)
    with pytest.raises(WeightsError, match="can't read"):
        import_checkpoint(tmp_path / "none.pt", "vqgan/a", store)


def test_a_zip_that_unpacks_to_far_more_is_refused(tmp_path, store, tiny):
    path = put(tmp_path, tiny)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data/bomb", bytes(40 << 20))
    assert path.stat().st_size < 10 << 20
    with pytest.raises(WeightsError, match="would unpack to"):
        import_checkpoint(path, "vqgan/a", store)


@pytest.mark.slow
def test_names_and_shapes_must_be_exactly_those_of_the_config(tmp_path, store, tiny):
    config, state = tiny
    first = next(iter(state))
    cases = {
        "1 missing": {key: value for key, value in state.items() if key != first},
        "1 extra .*more": {**state, "more.weight": torch.zeros(2)},
        r"1 misshapen .*\[48, 9\] instead of \[48, 8\]": {
            **state, "quantize.embedding.weight": torch.zeros(48, 9),
        },
        "not finite": {**state, first: torch.full_like(state[first], float("nan"))},
        "not numbers with a fraction": {**state, first: state[first].int()},
        "is a list": {**state, first: [1.0]},
        "sparse": {**state, first: state[first].to_sparse()},
        "holds no state_dict": [state],
        "holds no weights": {"loss.a": torch.zeros(1)},
    }  # fmt: skip
    for why, tensors in cases.items():
        path = put(tmp_path, tiny, state=tensors)
        with pytest.raises(WeightsError, match=why):
            import_checkpoint(path, "vqgan/a", store)
        assert files_in(store) == []
    other = {**config, "ddconfig": {**config["ddconfig"], "attn_resolutions": [8]}}
    with pytest.raises(WeightsError, match="does not fit its config"):
        import_checkpoint(put(tmp_path, tiny, config=other), "vqgan/a", store)
    gumbel = {**config, "kind": "GumbelVQ"}
    with pytest.raises(WeightsError, match=r"quantize\.proj\.weight"):
        import_checkpoint(put(tmp_path, tiny, config=gumbel), "vqgan/a", store)


@pytest.mark.slow
def test_a_biggan_that_lacks_its_last_layer_is_refused(tmp_path, store):
    path = write_biggan(tmp_path / "in")
    state = torch.load(path, weights_only=True)
    del state["generator.conv_to_rgb.weight_orig"]
    torch.save(state, path)
    with pytest.raises(WeightsError, match=r"1 missing \(generator\.conv_to_rgb\.weight_orig\)"):
        import_checkpoint(path, "biggan/a", store)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("model: !!python/object/apply:os.mkdir [canary]", "can't read"),
        ("model: {target: taming.models.vqgan.VQModel, params: {}}", "ddconfig"),
        ("model: {target: ldm.models.autoencoder.AutoencoderKL, params: {}}", "AutoencoderKL"),
        ("[1, 2]", "list"),
        ("", "NoneType"),
        ("a: &a [*a, *a]\nkind: [*a]", "no config of a VQGAN"),
        (
            "\n".join(
                [
                    "a0: &a0 [x]",
                    *(f"a{k}: &a{k} [*a{k - 1}, *a{k - 1}]" for k in range(1, 60)),
                    "kind: *a59",
                    "model: {target: *a59, params: *a59}",
                ]
            ),
            "no config of a VQGAN",
        ),
    ],
)
def test_configs_that_are_none(tmp_path, monkeypatch, text, why):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(WeightsError, match=why):
        read_config(tmp_path / "c.yaml", "vqgan")
    assert not (tmp_path / "canary").exists()


def test_figures_of_a_config_are_checked_before_anything_is_built(tiny):
    config, _ = tiny
    dd = config["ddconfig"]
    for wrong in (
        {"n_embed": 10**9},
        {"n_embed": -1},
        {"embed_dim": "8"},
        {"ddconfig": {**dd, "ch": 10**9}},
        {"ddconfig": {**dd, "ch_mult": [1] * 1000}},
        {"ddconfig": {**dd, "double_z": True}},
        {"ddconfig": {key: value for key, value in dd.items() if key != "ch"}},
    ):
        with pytest.raises(WeightsError, match=r"not a number|ch_mult is|KL|missing"):
            normal_config({**config, **wrong}, "vqgan")
    with pytest.raises(WeightsError, match="can be built"):
        expected_shapes({**config, "ddconfig": {**dd, "ch": 33}}, "vqgan")
    for wrong in ({"layers": []}, {"layers": [[1, 2, 3]]}, {"z_dim": True}, {"n_stats": "x"},
                  {"output_dim": 256}, {"layers": [[True, 16, 0]]}):  # fmt: skip
        with pytest.raises(WeightsError):
            normal_config({**biggan_config(), **wrong}, "biggan")


@pytest.mark.slow
def test_a_different_model_is_kept_unless_forced(tmp_path, store, tiny):
    path = put(tmp_path, tiny)
    first = import_checkpoint(path, "vqgan/a", store)
    assert not first.already
    assert import_checkpoint(path, "vqgan/a", store).already
    put(tmp_path, tiny, state=vqgan_state(tiny[0], seed=1))
    before = files_in(store)
    with pytest.raises(WeightsError, match=r"^name: .*replace it by force"):
        import_checkpoint(path, "vqgan/a", store)
    assert files_in(store) == before
    assert weights.stored("vqgan/a").sha256 == first.sha256
    second = import_checkpoint(path, "vqgan/a", store, force=True)
    assert weights.stored("vqgan/a").sha256 == second.sha256 != first.sha256
    assert files_in(store) == before


@pytest.mark.slow
def test_what_a_killed_import_left_is_cleared_away(tmp_path, store, tiny):
    path = put(tmp_path, tiny)
    import_checkpoint(path, "vqgan/a", store)
    before = files_in(store)
    # killed while writing, and between the two renames of a replacement
    (store / "vqgan" / ".a.12345678.tmp").mkdir()
    (store / "vqgan" / "a").rename(store / "vqgan" / ".a.old")
    assert import_checkpoint(path, "vqgan/a", store).already
    assert files_in(store) == before


def test_names_that_would_lead_elsewhere_are_refused(tmp_path, store, tiny):
    path = put(tmp_path, tiny)
    for name in ("vqgan/../x", "vqgan/embedded", "vqgan", "collage/x", "vqgan/A b", "/x", "vqgan/"):
        with pytest.raises(ConfigError, match=r"^name: "):
            import_checkpoint(path, name, store)
    assert files_in(store) == []


def test_a_config_is_asked_for_where_there_is_none(tmp_path, store, tiny):
    path = put(tmp_path, tiny)
    (tmp_path / "model.yaml").unlink()
    with pytest.raises(WeightsError, match=r"^config: "):
        import_checkpoint(path, "vqgan/a", store)


def test_a_store_that_can_t_be_written(tmp_path, tiny):
    path = put(tmp_path, tiny)
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="can't make the folder"):
        import_checkpoint(path, "vqgan/a", tmp_path / "file")


def test_a_flipped_bit_of_weights_or_config_is_found(tmp_path, store, tiny):
    import_checkpoint(put(tmp_path, tiny), "vqgan/a", store)
    found = weights.stored("vqgan/a")
    for file, offset in ((found.weights, -100), (found.folder / "config.json", 40)):
        data = bytearray(file.read_bytes())
        data[offset] ^= 1
        file.write_bytes(data)
        with pytest.raises(WeightsError, match="has changed since it was imported"):
            found.check()
        data[offset] ^= 1
        file.write_bytes(data)
    found.check()


def rewritten(path, name, change, compression=zipfile.ZIP_STORED):
    """A checkpoint one of whose members is another, with checksums that are right."""
    with zipfile.ZipFile(path) as archive:
        data = {member: archive.read(member) for member in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for member, content in data.items():
            archive.writestr(member, change(content) if member.endswith(name) else content)
    return path


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize(
    "change", [lambda b: b[: len(b) // 2], lambda b: b + b"1234", lambda b: b""]
)
def test_data_of_another_length_than_it_says_is_refused(tmp_path, store, tiny, change, compression):
    path = rewritten(put(tmp_path, tiny), "/data/3", change, compression)
    with pytest.raises(WeightsError, match=r"damaged"):
        import_checkpoint(path, "vqgan/mine", store)
    assert not (store / "vqgan" / "mine").exists()


@pytest.mark.slow
def test_numbers_too_large_for_float32_are_refused(tmp_path, store, tiny):
    state = {name: value.double() for name, value in tiny[1].items()}
    next(iter(state.values())).view(-1)[0] = 1e300
    with pytest.raises(WeightsError, match="not finite"):
        import_checkpoint(put(tmp_path, tiny, state=state), "vqgan/mine", store)
    next(iter(state.values())).view(-1)[0] = 1e30
    import_checkpoint(put(tmp_path, tiny, state=state), "vqgan/mine", store)


def test_a_tensor_without_memory_is_refused(tmp_path, store, tiny):
    state = dict(tiny[1])
    state[next(iter(state))] = state[next(iter(state))].to("meta")
    with pytest.raises(WeightsError, match="meta tensor"):
        import_checkpoint(put(tmp_path, tiny, state=state), "vqgan/mine", store)


@pytest.mark.slow
def test_a_pipe_and_a_config_without_end_are_refused(tmp_path, store, tiny):
    path = put(tmp_path, tiny)
    os.mkfifo(tmp_path / "pipe.ckpt")
    with pytest.raises(WeightsError, match="no ordinary file"):
        import_checkpoint(tmp_path / "pipe.ckpt", "vqgan/mine", store)
    for text in ("[" * 100_000, "{a: " * 100_000):
        (tmp_path / "deep.json").write_text(text)
        with pytest.raises(WeightsError, match="can't read"):
            import_checkpoint(path, "vqgan/mine", store, config=tmp_path / "deep.json")


def test_another_name_may_be_imported_meanwhile(tmp_path, store, tiny):
    path = put(tmp_path, tiny)
    (store / ".locks").mkdir(parents=True)
    with waiting(store / ".locks" / "vqgan--other.lock"):
        import_checkpoint(path, "vqgan/mine", store)
    assert weights.installed() == ["vqgan/mine"]


def test_names_longer_than_a_folder_can_be_are_refused(tmp_path, store, tiny):
    with pytest.raises(ConfigError, match="100 characters") as caught:
        import_checkpoint(put(tmp_path, tiny), f"vqgan/{'x' * 300}", store)
    assert len(str(caught.value)) < 400
    assert weights.find_stored(f"vqgan/{'x' * 300}") is None


@pytest.mark.slow
def test_verify_finds_what_an_older_import_let_through(tmp_path, store, tiny):
    import_checkpoint(put(tmp_path, tiny), "vqgan/mine", store)
    found = weights.stored("vqgan/mine")
    check_numbers(found)
    state = load_file(found.weights)
    first = next(iter(state))
    write_stored(found.folder, {**state, first: torch.full_like(state[first], torch.inf)}, tiny[0])
    weights.stored("vqgan/mine").check()  # its digest is right
    with pytest.raises(WeightsError, match="not finite"):
        check_numbers(found)
    write_stored(found.folder, {**state, first: state[first][:1]}, tiny[0])
    with pytest.raises(WeightsError, match="misshapen"):
        check_numbers(found)
