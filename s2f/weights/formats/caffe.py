"""Caffe's `.caffemodel`: layers and their blobs, read by protobuf with the few fields of caffe.proto that hold them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

from s2f.errors import AssetMissing, CheckpointError
from s2f.weights.formats.keras import INSTALL
from s2f.weights.formats.limits import damaged

# message: (field, number, type, repeated). Packed floats are declared as bytes, which they are on the wire: a field of
# a hundred million floats is then one piece of memory. `layers` is the older layer message (V1), whose VGG-Face is one.
MESSAGES = {
    "Shape": [("dim", 1, "int64", True)],
    "Blob": [
        *(
            (name, number, "int32", False)
            for number, name in enumerate(("num", "channels", "height", "width"), start=1)
        ),
        ("data", 5, "bytes", False),
        ("shape", 7, "Shape", False),
        ("double_data", 8, "bytes", False),
    ],
    "LayerV1": [("name", 4, "string", False), ("blobs", 6, "Blob", True)],
    "Layer": [("name", 1, "string", False), ("blobs", 7, "Blob", True)],
    "Net": [("layers", 2, "LayerV1", True), ("layer", 100, "Layer", True)],
}


def read_blobs(path: Path) -> dict[str, list[np.ndarray]]:
    """Blobs by layer, in the order of the net; layers without any are left out.

    Args:
        path: the `.caffemodel`.

    Returns:
        Layer to float32 arrays of the shape that the file gives them: (O, I, H, W) for convolutions, and in older files
        (1, 1, O, I) for inner products and (1, 1, 1, O) for biases.

    Raises:
        AssetMissing: protobuf is not installed.
        CheckpointError: no such file, or a blob whose size is not that of its shape.
    """
    try:
        net = _net_message()()
    except ImportError as error:
        raise AssetMissing("the package protobuf for .caffemodel files", "none installed", INSTALL) from error
    try:
        net.ParseFromString(path.read_bytes())
    except Exception as error:  # protobuf's DecodeError has several homes
        raise damaged(path, "a .caffemodel", error) from error
    layers = {layer.name: layer.blobs for layer in (*net.layers, *net.layer) if layer.blobs}
    if not layers:
        raise CheckpointError(f"layers with blobs in {path}", "none", "give the .caffemodel, not the .prototxt")
    return {name: [_array(blob, f"{name} of {path}") for blob in blobs] for name, blobs in layers.items()}


def _array(blob: Any, where: str) -> np.ndarray:
    shape = tuple(blob.shape.dim) or (blob.num, blob.channels, blob.height, blob.width)
    kind = "<f4" if blob.data else "<f8"
    values = np.frombuffer(blob.data or blob.double_data, np.uint8)
    count = int(np.prod(shape, dtype=object))
    if len(values) != count * int(kind[-1]) or min(shape) < 1:
        got = f"{len(values)} bytes for a blob {shape}"
        raise CheckpointError(f"{count} packed numbers in {where}", got, "copy the file again")
    return values.view(kind).astype(np.float32).reshape(shape)


@functools.cache
def _net_message() -> Any:
    """The class of the message `Net`."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    fields = descriptor_pb2.FieldDescriptorProto
    scalars = {
        "int64": fields.TYPE_INT64,
        "int32": fields.TYPE_INT32,
        "bytes": fields.TYPE_BYTES,
        "string": fields.TYPE_STRING,
    }
    file = descriptor_pb2.FileDescriptorProto(name="s2f_caffe.proto", package="s2f_caffe", syntax="proto2")
    for name, content in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, repeated in content:
            label = fields.LABEL_REPEATED if repeated else fields.LABEL_OPTIONAL
            added = message.field.add(name=field, number=number, label=label)
            if kind in scalars:
                added.type = scalars[kind]
            else:
                added.type, added.type_name = fields.TYPE_MESSAGE, f".s2f_caffe.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("s2f_caffe.Net"))
