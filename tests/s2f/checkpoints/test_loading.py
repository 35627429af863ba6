"""Strict loading: whatever is wrong with a checkpoint is refused and named."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

import s2f
from s2f.checkpoints import loading
from s2f.checkpoints.loading import load_network
from s2f.errors import CheckpointError


@pytest.fixture
def folder(tiny_checkpoint):
    return tiny_checkpoint / "decoder"


def weights_of(folder):
    (path,) = folder.glob("*.safetensors")
    return path


def change_weights(folder, change):
    state = load_file(weights_of(folder))
    change(state)
    save_file(state, weights_of(folder))


def change_config(folder, **values):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


def refused(folder, *words, cls=None):
    with pytest.raises(CheckpointError) as caught:
        load_network(cls or s2f.NormalizedFaceDecoder, folder)
    message = str(caught.value)
    for word in (*words, "expected ", ", got ", "; "):
        assert word in message
    assert "\n" not in message


def test_loaded_network_equals_the_saved_one(folder, tiny_pipeline):
    network = load_network(s2f.NormalizedFaceDecoder, folder)
    saved = tiny_pipeline.decoder.state_dict()
    assert network.state_dict().keys() == saved.keys()
    assert all(torch.equal(tensor, saved[name]) for name, tensor in network.state_dict().items())
    assert not network.training
    assert all(parameter.requires_grad and parameter.device.type == "cpu" for parameter in network.parameters())
    assert dict(network.config).items() >= {"feature_size": 16, "image_size_px": 32}.items()


def test_both_file_names_are_read(folder):
    weights_of(folder).rename(folder / "model.safetensors")
    load_network(s2f.NormalizedFaceDecoder, folder)
    shutil.copy(folder / "model.safetensors", folder / "diffusion_pytorch_model.safetensors")
    refused(folder, "one weights file", "remove the one")


def test_loading_leaves_the_random_numbers_alone(folder):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    load_network(s2f.NormalizedFaceDecoder, folder)
    assert torch.equal(torch.rand(4), expected)


def test_half_precision_weights_become_the_networks_own_type(folder, tiny_pipeline):
    change_weights(folder, lambda state: state.update({"first.bias": state["first.bias"].half()}))
    bias = load_network(s2f.NormalizedFaceDecoder, folder).first.bias
    assert bias.dtype == torch.float32
    assert torch.equal(bias, tiny_pipeline.decoder.first.bias.half().float())


def test_overwriting_the_file_later_does_not_change_the_network(folder, tiny_pipeline):
    network = load_network(s2f.NormalizedFaceDecoder, folder)
    size = weights_of(folder).stat().st_size
    with weights_of(folder).open("r+b") as stream:
        stream.write(bytes(size))
    assert torch.equal(network.first.weight, tiny_pipeline.decoder.first.weight)


def test_missing_tensor_is_named(folder):
    change_weights(folder, lambda state: state.pop("first.bias"))
    refused(folder, "missing first.bias")


def test_extra_tensor_is_named(folder):
    change_weights(folder, lambda state: state.update(surprise=torch.zeros(2)))
    refused(folder, "extra surprise")


def test_misshapen_tensor_is_named_with_both_shapes(folder):
    change_weights(folder, lambda state: state.update({"first.bias": torch.zeros(7)}))
    refused(folder, "misshapen first.bias (7,) instead of (16,)")


def test_all_faults_are_named_at_once(folder):
    def change(state):
        del state["first.bias"], state["base.bias"]
        state.update(a=torch.zeros(1), b=torch.zeros(1))

    change_weights(folder, change)
    refused(folder, "missing base.bias, first.bias; extra a, b")


def test_many_faults_are_counted(folder):
    change_weights(folder, lambda state: state.update({f"x{i}": torch.zeros(1) for i in range(11)}))
    refused(folder, "extra x0, x1, x10, x2, x3, x4, x5, x6 and 3 more")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_named(folder, value):
    change_weights(folder, lambda state: state["first.weight"].view(-1)[3:4].fill_(value))
    refused(folder, "NaN or infinite values in first.weight")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated_weights(folder, share):
    data = weights_of(folder).read_bytes()
    weights_of(folder).write_bytes(data[: int(share * len(data))])
    refused(folder, "truncated or damaged", "copy the checkpoint again")


def test_missing_files(folder, tmp_path):
    refused(tmp_path / "nothing", "no folder at")
    weights_of(folder).unlink()
    refused(folder, "a folder without it")
    (folder / "config.json").unlink()
    (folder / "model.safetensors").touch()
    refused(folder, "config.json", "a missing file")


@pytest.mark.parametrize("name", ["diffusion_pytorch_model.bin", "model.pt", "model.pth", "last.ckpt"])
def test_pickles_are_refused(folder, name):
    weights_of(folder).rename(folder / name)
    refused(folder, f"the pickle {folder / name}", "`s2f weights import`")
    with pytest.raises(CheckpointError, match="s2f weights import"):
        loading.resolve(folder / name)


def test_another_class_is_refused(folder):
    refused(folder, "for VGGFace, got one for NormalizedFaceDecoder", cls=s2f.VGGFace)


def test_unknown_option_is_refused(folder):
    change_config(folder, colour="red")
    refused(folder, "options of NormalizedFaceDecoder", "got colour", "update s2f")


def test_option_the_network_refuses(folder):
    change_config(folder, image_size_px=33)
    refused(folder, "values it refuses (expected image_size_px to be a multiple of 4")


def test_damaged_config(folder):
    for text, words in (("{", "cannot be read"), ("[1]", "got list"), ("\ufeff{}", "cannot be read")):
        (folder / "config.json").write_text(text, encoding="utf-8")
        refused(folder, words)


def test_resolve_finds_folders(tiny_checkpoint):
    assert loading.resolve(tiny_checkpoint) == tiny_checkpoint
    assert loading.resolve(str(tiny_checkpoint)) == tiny_checkpoint


def test_resolve_knows_the_starter(tiny_checkpoint, monkeypatch):
    root = tiny_checkpoint.parent
    monkeypatch.setattr(loading, "PACKAGED", root / "site" / "checkpoints")
    with pytest.raises(CheckpointError, match="it belongs to the package"):
        loading.resolve("starter")
    shutil.copytree(tiny_checkpoint, root / "site" / "checkpoints" / "starter")
    assert loading.resolve("starter") == root / "site" / "checkpoints" / "starter"


def test_resolve_refuses_what_is_no_checkpoint(tiny_checkpoint):
    with pytest.raises(CheckpointError, match=r"expected 'starter' or a checkpoint folder, got no folder at starte; "):
        loading.resolve("starte")
    with pytest.raises(CheckpointError, match=r"a folder with model_index\.json"):
        loading.resolve(tiny_checkpoint / "decoder")


def sharded(folder, names=("model-1.safetensors", "model-2.safetensors")):
    """The weights in two files with an index, as diffusers writes large networks; returns the index."""
    state = load_file(weights_of(folder))
    weights_of(folder).unlink()
    halves = dict(zip(names, ({n: state[n] for n in sorted(state)[place::2]} for place in (0, 1)), strict=True))
    for name, half in halves.items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        save_file(half, folder / name)
    index = folder / "diffusion_pytorch_model.safetensors.index.json"
    places = {tensor: name for name, half in halves.items() for tensor in half}
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return index


def test_weights_in_several_files(folder, tiny_pipeline):
    sharded(folder)
    network = load_network(s2f.NormalizedFaceDecoder, folder)
    saved = tiny_pipeline.decoder.state_dict()
    assert all(torch.equal(tensor, saved[name]) for name, tensor in network.state_dict().items())
    (folder / "model-2.safetensors").write_bytes((folder / "model-1.safetensors").read_bytes())
    refused(folder, "missing ")


def test_a_tensor_in_two_files_is_refused(folder):
    sharded(folder)
    both = load_file(folder / "model-1.safetensors") | load_file(folder / "model-2.safetensors")
    save_file(both, folder / "model-2.safetensors")
    refused(folder, "every tensor once", "twice in the files of")


def test_diffusers_own_shards_are_read(tmp_path, tiny_pipeline):
    tiny_pipeline.decoder.save_pretrained(tmp_path / "decoder", max_shard_size=2000)
    assert len(list((tmp_path / "decoder").glob("*.safetensors"))) > 1
    load_network(s2f.NormalizedFaceDecoder, tmp_path / "decoder")


@pytest.mark.parametrize(
    "name",
    [
        "../model-2.safetensors",
        "deeper/model-2.safetensors",
        "/etc/passwd",
        "..",
        "",
        "gone.safetensors",
        "config.json",
    ],
)
def test_an_index_names_files_beside_it_alone(folder, name):
    index = sharded(folder)
    (folder / "deeper").mkdir()
    shutil.copy(folder / "model-2.safetensors", folder / "deeper")
    shutil.copy(folder / "model-2.safetensors", folder.parent)
    index.write_text(index.read_text().replace("model-2.safetensors", name))
    refused(folder, "names of .safetensors files beside", repr(name))


@pytest.mark.parametrize("content", ["{}", '{"weight_map": {}}', '{"weight_map": [1]}'])
def test_an_index_without_a_map(folder, content):
    sharded(folder).write_text(content)
    refused(folder, "a weight_map in")


@pytest.mark.parametrize("name", ["config.json", "diffusion_pytorch_model.safetensors"])
def test_links_out_of_a_network_are_refused(folder, tmp_path, name):
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    refused(folder, f"files inside {folder}", "snapshot_download(local_dir=...)")


def test_links_within_are_followed(folder):
    weights_of(folder).rename(folder / "kept")
    (folder / "model.safetensors").symlink_to("kept")
    load_network(s2f.NormalizedFaceDecoder, folder)


def test_a_part_linked_from_elsewhere_is_refused(tiny_checkpoint, tmp_path):
    shutil.move(tiny_checkpoint / "decoder", tmp_path / "elsewhere")
    (tiny_checkpoint / "decoder").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match=r"files inside .*decoder, which leads to .*elsewhere"):
        s2f.Speech2FacePipeline.from_pretrained(tiny_checkpoint)


def test_json_beyond_its_bound(folder, monkeypatch):
    monkeypatch.setattr(loading, "MAX_JSON_BYTES", 100)
    refused(folder, "at most 0.0001 MB of JSON")


def test_weights_beyond_their_bound(folder, monkeypatch):
    monkeypatch.setattr(loading, "MAX_WEIGHTS_BYTES", 1000)
    refused(folder, "at most 1e-06 GB of weights")


def test_json_nested_without_end(folder):
    (folder / "config.json").write_text('{"a":' * 100_000)
    refused(folder, "config.json", "cannot be read")


def test_a_config_that_asks_for_much_takes_no_memory(folder):
    """A network of 4 TB is compared with the file by its shapes, and never made."""
    change_config(folder, feature_size=1_000_000, hidden_size=1_000_000, basis_size=1000, basis_size_px=10_000)
    refused(folder, "misshapen base.weight", "first.weight (16, 16) instead of (1000000, 1000000)")


def test_a_file_with_bytes_behind_its_tensors_is_refused(folder):
    with weights_of(folder).open("ab") as stream:
        stream.write(bytes(100))
    refused(folder, "truncated or damaged")


def test_saving_twice_makes_the_same_files_and_loading_gives_them_back(tiny_pipeline, tmp_path):
    for name in ("a", "b"):
        tiny_pipeline.save_pretrained(tmp_path / name)
    s2f.Speech2FacePipeline.from_pretrained(tmp_path / "a").save_pretrained(tmp_path / "c")
    contents = {
        name: {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        }
        for name in "abc"
    }
    assert contents["a"] == contents["b"] == contents["c"]
    assert {path.suffix for path in contents["a"]} == {".json", ".safetensors", ""}


def test_saving_over_a_folder_keeps_what_else_is_there(tiny_pipeline, tiny_checkpoint):
    (tiny_checkpoint / "README.md").write_text("mine")
    (tiny_checkpoint / "decoder" / "model.safetensors").write_text("of an older version")
    tiny_pipeline.save_pretrained(tiny_checkpoint)
    assert (tiny_checkpoint / "README.md").read_text() == "mine"
    s2f.Speech2FacePipeline.from_pretrained(tiny_checkpoint)
    assert not list(tiny_checkpoint.parent.glob("*.partial"))
