"""Readers of published formats: what is damaged, too large, elsewhere or would act is refused in one sentence."""

import contextlib
import struct
import zipfile
import zlib

import h5py
import numpy as np
import pytest
import torch
from scipy.io import savemat

from s2f.errors import CheckpointError
from s2f.weights.convert import import_weights
from s2f.weights.formats import limits, matconvnet
from s2f.weights.formats.caffe import read_blobs
from s2f.weights.formats.keras import read_layers
from s2f.weights.formats.matconvnet import read_net
from s2f.weights.formats.numpy_file import read_arrays
from s2f.weights.formats.torch7 import TorchObject, read_object
from s2f.weights.formats.torch_file import read_state_dict
from tests.s2f.weights.file_writers import Torch7Writer, write_caffemodel, write_keras, write_simplenn, write_torch7

ARRAY = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def a_torch_file(path, zipped=True):
    torch.save({"a.weight": torch.from_numpy(ARRAY)}, path, _use_new_zipfile_serialization=zipped)


def an_old_torch_file(path):
    a_torch_file(path, zipped=False)


def a_numpy_file(path):
    np.save(path, np.array({"conv1": {"weights": ARRAY}}, dtype=object), allow_pickle=True)


def a_keras_file(path):
    write_keras(path, {"a": {"kernel": ARRAY}, "b": {}})


def a_caffe_file(path):
    write_caffemodel(path, {"a": [ARRAY]})


def a_torch7_file(path):
    write_torch7(path, [("nn.Linear", {"weight": ARRAY, "bias": ARRAY[0, 0], "on": True, "n": None})])


def a_mat_file(path):
    write_simplenn(
        path, [{"name": "a", "type": "conv", "weights": [ARRAY, ARRAY[0, 0]]}], {"x": 1.0}, do_compression=True
    )


READERS = {
    a_torch_file: (read_state_dict, lambda read: read["a.weight"].numpy()),
    an_old_torch_file: (read_state_dict, lambda read: read["a.weight"].numpy()),
    a_numpy_file: (read_arrays, lambda read: read["conv1"]["weights"]),
    a_keras_file: (read_layers, lambda read: read["a"]["kernel"]),
    a_caffe_file: (read_blobs, lambda read: read["a"][0][0]),
    a_torch7_file: (read_object, lambda read: read.fields["modules"][1].fields["weight"]),
    a_mat_file: (read_net, lambda read: read.layers[0].values[0][..., 0]),
}


@pytest.fixture(params=READERS, ids=lambda write: write.__name__)
def case(request, tmp_path):
    """A small file of each format, its reader, and what takes the array out of what was read."""
    path = tmp_path / ("a.npy" if request.param is a_numpy_file else "a.bin")
    request.param(path)
    return path, *READERS[request.param]


def test_arrays_read_back(case):
    path, read, take = case
    np.testing.assert_array_equal(take(read(path)), ARRAY)


def test_a_file_cut_anywhere_is_refused_or_whole(case):
    """A cut of the last bytes may only lose what no reader needs."""
    path, read, take = case
    content = path.read_bytes()
    refused = 0
    for keep in {*range(0, len(content), max(1, len(content) // 40)), len(content) - 1}:
        path.write_bytes(content[:keep])
        try:
            found = take(read(path))
        except (CheckpointError, KeyError, IndexError):
            refused += 1
        else:
            np.testing.assert_array_equal(found, ARRAY)
    assert refused > 35


def test_changed_bytes_are_refused_or_change_values_alone(case):
    """No error but ours leaves a reader, whatever byte changed."""
    path, read, _ = case
    content = path.read_bytes()
    for place in range(0, len(content), max(1, len(content) // 60)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        with contextlib.suppress(CheckpointError):
            read(path)


def test_files_of_another_format_are_refused(case, tmp_path):
    _, read, _ = case
    for number, content in enumerate(
        (b"\0" * 200, b"hello, this is no weights file at all" * 9, b"\x89HDF\r\n\x1a\n" + b"\0" * 99)
    ):
        path = tmp_path / f"other{number}"
        path.write_bytes(content)
        with pytest.raises(CheckpointError):
            read(path)


def test_absent_empty_and_too_large_files(tmp_path, monkeypatch):
    for path, says in ((tmp_path / "no.pth", "no file at"), (tmp_path, "no file at")):
        with pytest.raises(CheckpointError, match=says):
            import_weights("vgg_face_dag", path, tmp_path / "out")
    (tmp_path / "empty.pth").touch()
    with pytest.raises(CheckpointError, match="which is empty"):
        import_weights("vgg_face_dag", tmp_path / "empty.pth", tmp_path / "out")
    a_torch_file(tmp_path / "a.pth")
    monkeypatch.setattr(limits, "MAX_BYTES", 100)
    with pytest.raises(CheckpointError, match=r"at most 1e-07 GB of weights, got .* GB"):
        import_weights("vgg_face_dag", tmp_path / "a.pth", tmp_path / "out")


def test_small_files_that_unpack_to_much_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "MAX_BYTES", 1_000_000)
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(2_000_000))
    savemat(tmp_path / "bomb.mat", {"net": np.zeros(500_000)}, do_compression=True)
    with h5py.File(tmp_path / "bomb.h5", "w") as file:
        file.attrs["layer_names"] = [b"a"]
        file.create_group("a").attrs["weight_names"] = [b"k"]
        file["a"].create_dataset("k", shape=(500_000,), dtype="f8", compression="gzip")
    for name, read in (("bomb.pth", read_state_dict), ("bomb.mat", read_net), ("bomb.h5", read_layers)):
        assert (tmp_path / name).stat().st_size < 10_000
        with pytest.raises(CheckpointError, match="GB of weights"):
            read(tmp_path / name)


@pytest.mark.parametrize("kind", ["link", "external", "virtual"])
def test_keras_weights_in_another_file_are_refused(tmp_path, kind):
    write_keras(tmp_path / "secret.h5", {"a": {"kernel": ARRAY}})
    (tmp_path / "secret.raw").write_bytes(ARRAY.tobytes())
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["layer_names"] = [b"a"]
        group = file.create_group("a")
        group.attrs["weight_names"] = [b"a/kernel:0"]
        if kind == "link":
            group["a/kernel:0"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "a/a/kernel:0")
        elif kind == "external":
            stored = [(str(tmp_path / "secret.raw"), 0, ARRAY.nbytes)]
            group.create_dataset("a/kernel:0", ARRAY.shape, "f4", external=stored)
        else:
            layout = h5py.VirtualLayout(ARRAY.shape, "f4")
            layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "a/a/kernel:0", ARRAY.shape)
            group.create_virtual_dataset("a/kernel:0", layout)
    with pytest.raises(CheckpointError, match="points at another file"):
        read_layers(tmp_path / "a.h5")


def test_a_model_of_keras_without_weights_and_other_hdf5(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["model_config"] = "{}"
    with pytest.raises(CheckpointError, match="layer_names"):
        read_layers(tmp_path / "a.h5")


def test_functions_of_torch7_are_refused(tmp_path):
    for kind in (6, 7, 8):
        (tmp_path / "a.t7").write_bytes(struct.pack("<ii", kind, 1) + b"\x1bLua")
        with pytest.raises(CheckpointError, match="got a function"):
            read_object(tmp_path / "a.t7")


def test_torch7_values(tmp_path):
    writer = Torch7Writer()
    writer.any({"a": 1.5, "b": None, "c": False, 2: "text", "d": ("nn.ReLU", {"inplace": True})})
    (tmp_path / "a.t7").write_bytes(writer.out)
    expected = {"a": 1.5, "b": None, "c": False, 2.0: "text", "d": TorchObject("nn.ReLU", {"inplace": True})}
    assert read_object(tmp_path / "a.t7") == expected


def test_torch7_objects_that_are_shared_or_contain_themselves(tmp_path):
    """The second time an object is only its number."""
    table = struct.pack("<iii", 3, 1, 2)
    key = lambda text: struct.pack("<ii", 2, len(text)) + text  # noqa: E731
    (tmp_path / "a.t7").write_bytes(
        table + key(b"me") + struct.pack("<ii", 3, 1) + key(b"n") + struct.pack("<id", 1, 7.0)
    )
    read = read_object(tmp_path / "a.t7")
    assert read["me"] is read
    assert read["n"] == 7.0


@pytest.mark.parametrize(
    ("sizes", "strides", "start"),
    [
        ((2, 3), (3, 1), 2),
        ((7,), (1,), 1),
        ((1, 1), (1, 1), 0),
        ((2, 2), (0, 0), 1 << 40),
        ((-1,), (1,), 1),
        ((9, 9), (0, 0), 1),
    ],
)
def test_torch7_tensors_beyond_their_storage(tmp_path, sizes, strides, start):
    head = struct.pack("<ii", 4, 1) + struct.pack("<i", 17) + b"torch.FloatTensor" + struct.pack("<i", len(sizes))
    head += b"".join(struct.pack("<q", number) for number in (*sizes, *strides, start))
    storage = struct.pack("<ii", 4, 2) + struct.pack("<i", 18) + b"torch.FloatStorage" + struct.pack("<q", 6)
    (tmp_path / "a.t7").write_bytes(head + storage + np.arange(6, dtype="<f4").tobytes())
    with pytest.raises(CheckpointError, match="beyond its 6 numbers"):
        read_object(tmp_path / "a.t7")


def test_torch7_nested_without_end_and_absurd_counts(tmp_path):
    (tmp_path / "a.t7").write_bytes(b"".join(struct.pack("<iii", 3, number, 1) for number in range(1, 500)))
    with pytest.raises(CheckpointError, match="nested more than 100 deep"):
        read_object(tmp_path / "a.t7")
    (tmp_path / "b.t7").write_bytes(struct.pack("<ii", 2, 1 << 30))
    with pytest.raises(CheckpointError, match="bytes wanted"):
        read_object(tmp_path / "b.t7")


def test_caffe_blobs_of_another_size(tmp_path):
    write_caffemodel(tmp_path / "a.caffemodel", {"a": [ARRAY]})
    content = (tmp_path / "a.caffemodel").read_bytes()
    assert content.count(b"\x20\x04") == 1  # width = 4
    (tmp_path / "a.caffemodel").write_bytes(content.replace(b"\x20\x04", b"\x20\x05"))
    with pytest.raises(CheckpointError, match=r"30 packed numbers in a of .*, got 96 bytes for a blob \(1, 2, 3, 5\)"):
        read_blobs(tmp_path / "a.caffemodel")
    (tmp_path / "net.prototxt").write_text('name: "VGG"\n')
    with pytest.raises(CheckpointError):
        read_blobs(tmp_path / "net.prototxt")


def test_matlab_of_version_73_and_without_a_network(tmp_path):
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        file["net"] = 1.0
    with (tmp_path / "a.mat").open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + struct.pack("<H", 0x0200) + b"IM")
    with pytest.raises(CheckpointError, match=r"version 7\.3 \(HDF5\); load it in MATLAB or Octave"):
        read_net(tmp_path / "a.mat")
    savemat(tmp_path / "b.mat", {"faces": np.eye(3)})
    with pytest.raises(CheckpointError, match="a network of MatConvNet"):
        read_net(tmp_path / "b.mat")


def test_a_mat_file_that_unpacks_without_end_is_stopped(tmp_path, monkeypatch):
    """Unpacking stops once the content is eight times the file, however much would come."""
    monkeypatch.setattr(limits, "MAX_BYTES", 50_000)
    savemat(tmp_path / "a.mat", {"net": 1.0})
    head = (tmp_path / "a.mat").read_bytes()[:128]
    packed = zlib.compress(bytes(50_000_000), 9)
    (tmp_path / "a.mat").write_bytes(head + struct.pack("<ii", 15, len(packed)) + packed)
    assert matconvnet._unpacked_size(tmp_path / "a.mat") < 3_000_000
    with pytest.raises(CheckpointError, match="GB of weights"):
        read_net(tmp_path / "a.mat")


def test_state_dicts_hold_tensors_by_name(tmp_path):
    for content in ({"a": 1}, [torch.zeros(2)], torch.zeros(2)):
        torch.save(content, tmp_path / "a.pth")
        with pytest.raises(CheckpointError, match="a state dict in"):
            read_state_dict(tmp_path / "a.pth")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match=r"a pickle that asks for torch\.nn\.modules\.linear\.Linear"):
        read_state_dict(tmp_path / "model.pth")


def test_numpy_files_of_plain_arrays(tmp_path):
    np.save(tmp_path / "a.npy", ARRAY)
    with pytest.raises(CheckpointError, match=r"one dictionary .*, got an array \(2, 3, 4\) of float32"):
        read_arrays(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.array({"a": [1, 2]}, dtype=object), allow_pickle=True)
    with pytest.raises(CheckpointError, match="arrays by layer and name"):
        read_arrays(tmp_path / "b.npy")
