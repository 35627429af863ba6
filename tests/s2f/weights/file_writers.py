"""Small files in the formats of the published weights, written by their own libraries or by hand, byte for byte."""

import struct

import h5py
import numpy as np
from scipy.io import savemat


def write_keras(path, layers, inside=None):
    """`save_weights`: layer name to {short name: array}; layers without weights too, as Keras writes them."""
    with h5py.File(path, "w") as file:
        root = file if inside is None else file.create_group(inside)
        root.attrs["layer_names"] = [name.encode() for name in layers]
        root.attrs["backend"] = b"tensorflow"
        for name, arrays in layers.items():
            group = root.require_group(name)
            names = [f"{name}/{short}:0".encode() for short in arrays]
            group.attrs["weight_names"] = np.array(names, dtype="S") if names else np.zeros(0)
            for short, array in arrays.items():
                group.create_dataset(f"{name}/{short}:0", data=np.asarray(array, np.float32))


def _varint(number):
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def _bytes(field, content):
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _blob(array, by_shape, double):
    array = np.asarray(array, "<f8" if double else "<f4")
    sizes = array.shape if by_shape else (1,) * (4 - array.ndim) + array.shape
    if by_shape:
        head = _bytes(7, _bytes(1, b"".join(_varint(size) for size in sizes)))
    else:
        head = b"".join(_varint(number << 3) + _varint(size) for number, size in enumerate(sizes, start=1))
    return head + _bytes(8 if double else 5, array.tobytes())


def write_caffemodel(path, layers, newer=False, double=False):
    """NetParameter with `layers` (V1) or, newer, `layer`: name to blobs; a data layer without blobs comes first."""
    name, blobs, field = (1, 7, 100) if newer else (4, 6, 2)
    net = _bytes(1, b"VGG_FACE_16_layers")
    for layer, arrays in {"data": [], **layers}.items():
        content = _bytes(name, layer.encode()) + _bytes(3, b"top")
        content += b"".join(_bytes(blobs, _blob(array, newer, double)) for array in arrays)
        net += _bytes(field, content)
    path.write_bytes(net)


class Torch7Writer:
    """Torch7's binary serialisation."""

    def __init__(self):
        self.out, self.index = b"", 0

    def number(self, code, value):
        self.out += struct.pack(code, value)

    def text(self, value):
        self.number("<i", len(value))
        self.out += value.encode()

    def start(self, kind):
        self.index += 1
        self.number("<i", kind)
        self.number("<i", self.index)

    def any(self, value):
        if value is None:
            self.number("<i", 0)
        elif isinstance(value, bool):
            self.number("<i", 5)
            self.number("<i", int(value))
        elif isinstance(value, int | float):
            self.number("<i", 1)
            self.number("<d", value)
        elif isinstance(value, str):
            self.number("<i", 2)
            self.text(value)
        elif isinstance(value, dict):
            self.start(3)
            self.number("<i", len(value))
            for key, item in value.items():
                self.any(key)
                self.any(item)
        elif isinstance(value, tuple):
            self.start(4)
            self.text("V 1")
            self.text(value[0])
            self.any(value[1])
        else:
            self.tensor(np.asarray(value, "<f4"))

    def tensor(self, array):
        """A view that starts at the second number of its storage."""
        self.start(4)
        self.text("V 1")
        self.text("torch.FloatTensor")
        self.number("<i", array.ndim)
        for size in (*array.shape, *(step // 4 for step in array.strides)):
            self.number("<q", size)
        self.number("<q", 2)
        self.start(4)
        self.text("V 1")
        self.text("torch.FloatStorage")
        self.number("<q", array.size + 1)
        self.out += np.float32(99).tobytes() + array.tobytes()


def write_torch7(path, modules):
    """nn.Sequential of (class name, fields)."""
    writer = Torch7Writer()
    numbered = {place: module for place, module in enumerate(modules, start=1)}
    writer.any(("nn.Sequential", {"modules": numbered, "train": False, "_type": "torch.FloatTensor"}))
    path.write_bytes(writer.out)


def _cell(values):
    cell = np.empty((1, len(values)), object)
    for place, value in enumerate(values):
        cell[0, place] = value
    return cell


def _structs(rows):
    table = np.empty((1, len(rows)), [(name, object) for name in rows[0]])
    for place, row in enumerate(rows):
        for name, value in row.items():
            table[name][0, place] = value
    return table


def write_simplenn(path, layers, meta, name=None, **options):
    """A SimpleNN: dictionaries as MatConvNet has them; `weights` becomes a cell. Without a name, `-struct`."""
    cells = _cell(
        [{**layer, **({"weights": _cell(layer["weights"])} if "weights" in layer else {})} for layer in layers]
    )
    net = {"layers": cells, "meta": meta}
    savemat(path, {name: net} if name else net, **options)


def write_dagnn(path, layers, params, meta, name="net"):
    """A DagNN as `saveobj` gives it; layers are (name, type, inputs, outputs, params, block)."""
    rows = [
        {
            "name": n,
            "type": t,
            "inputs": _cell(i),
            "outputs": _cell(o),
            "params": _cell(p) if p else np.empty((0, 0)),
            "block": b,
        }
        for n, t, i, o, p, b in layers
    ]
    arrays = [
        {"name": key, "value": np.asarray(value, np.float32), "learningRate": 1.0} for key, value in params.items()
    ]
    variables = _structs([{"name": o, "precious": False} for *_, outputs, _, _ in layers for o in outputs])
    savemat(path, {name: {"vars": variables, "params": _structs(arrays), "layers": _structs(rows), "meta": meta}})
