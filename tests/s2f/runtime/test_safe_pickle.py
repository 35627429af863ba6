"""Pickles are read without running what they say: what would act is refused by name and never acts."""

import builtins
import os
import pickle
import struct

import numpy as np
import pytest

from s2f.errors import CheckpointError, DatasetError
from s2f.runtime.safe_pickle import load_arrays, load_plain

PROTOCOLS = range(6)


def written(tmp_path, content, protocol=4):
    path = tmp_path / "list.pkl"
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol))
    return path


class Calls:
    """Asks the reader to call something."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_genuine_list_reads(tmp_path, protocol):
    names = np.random.default_rng(0).choice(np.array(["Åsa_Öst", "Bo_Ek", "Cy"]), 3, replace=False)
    content = {
        "wav_set": {"a/1.wav", "b/2.wav"},
        "frozen": frozenset({1, 2}),
        "match_list": [
            (names[0], "a/1.wav", "a/1.jpg", names[1], "b/2.wav", "b/2.jpg"),
            [names[2], None, True, -3, 0.5],
        ],
    }
    read = load_plain(written(tmp_path, content, protocol))
    assert read == content
    assert type(read["match_list"][0][0]) is str


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (np.int16(-2), int),
        (np.uint8(200), int),
        (np.int64(2**40), int),
        (np.float16(0.5), float),
        (np.float32(-1.5), float),
        (np.float64(1e300), float),
        (np.bool_(True), bool),
        (np.bool_(False), bool),
        (np.str_("é\U0001f600"), str),
        (np.bytes_(b"plain"), str),
    ],
)
def test_single_values_of_numpy(tmp_path, protocol, value, kind):
    read = load_plain(written(tmp_path, [value], protocol))[0]
    assert type(read) is kind
    assert read == (value.decode() if isinstance(value, bytes) else value)


def test_both_names_of_numpy_and_both_byte_orders(tmp_path):
    stored = np.array([3, -2], ">i4")
    read = load_plain(written(tmp_path, [stored.dtype, 1][1:]))
    assert read == [1]
    text = pickle.dumps([np.str_("ab")], 2)
    assert b"numpy._core" in text
    assert load_plain(written(tmp_path, text.replace(b"numpy._core", b"numpy.core"))) == ["ab"]
    little, big = struct.pack("<i", -2), struct.pack(">i", -2)
    number = pickle.dumps(np.int32(-2), 4)
    assert number.count(little) == 1
    swapped = number.replace(b"\x8c\x01<", b"\x8c\x01>").replace(little, big)
    assert load_plain(written(tmp_path, swapped)) == -2


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("function", "named"),
    [(os.system, rf"{os.name}\.system"), (builtins.eval, "builtins__.eval|__builtin__.eval|builtins.eval")],
)
def test_what_would_act_is_refused_by_name(tmp_path, protocol, function, named):
    marker = tmp_path / "ran"
    command = f"touch {marker}" if function is os.system else f"open({str(marker)!r}, 'w').close()"
    path = written(tmp_path, {"list": [Calls(function, command)]}, protocol)
    with pytest.raises(DatasetError, match=named) as refused:
        load_plain(path)
    assert not marker.exists()
    assert refused.value.got is not None
    assert refused.value.fix
    pickle.loads(path.read_bytes())
    assert marker.exists(), "the file was harmless and the test proves nothing"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_objects_inside_arrays_are_refused(tmp_path, protocol):
    marker = tmp_path / "ran"
    array = np.empty(1, object)
    array[0] = Calls(builtins.eval, f"open({str(marker)!r}, 'w').close()")
    with pytest.raises(DatasetError, match="imports numpy"):
        load_plain(written(tmp_path, [array], protocol))
    assert not marker.exists()


@pytest.mark.parametrize("code", ["O8", "V4", "M8", "", "U", "i-4", "c8"])
def test_kinds_of_numpy_that_are_no_value(tmp_path, code):
    dtype = b"cnumpy\ndtype\n(V" + code.encode() + b"\nI00\nI01\ntR."
    with pytest.raises(DatasetError, match=r"numpy dtype|a Type"):
        load_plain(written(tmp_path, dtype))


@pytest.mark.parametrize(
    ("program", "says"),
    [
        (b"cos\nsystem\n.", "os.system"),
        (b"cbuiltins\nset.__init__\n.", "set.__init__"),
        (b"cnumpy\ndtype\n.", "a Maker"),
        (b"cnumpy\ndtype\n(Vi4\nI00\nI01\ntR.", "a Type"),
        (b"cbuiltins\nset\nN}V__module__\nVos\ns\x86b.", "readable pickle"),
        (b"cbuiltins\nset\n)\x81.", "readable pickle"),
        (b"Pelsewhere\n.", "outside it"),
        (b"c_codecs\nencode\n(Vabc\nVrot13\ntR.", "rot13"),
        (b"cnumpy.core.multiarray\nscalar\n(VO8\nVabc\ntR.", "without its dtype"),
        (b"\x80\x04]", "readable pickle"),
        (b"", "readable pickle"),
        (pickle.dumps(bytearray(b"x"), 5), "bytearray"),
        (pickle.dumps(1 + 2j), "complex"),
    ],
)
def test_odd_programs(tmp_path, program, says):
    with pytest.raises(DatasetError, match=says):
        load_plain(written(tmp_path, program))


def test_a_value_of_the_wrong_length_and_a_missing_file(tmp_path):
    number = pickle.dumps(np.int32(7), 2)
    with pytest.raises(DatasetError, match="4 bytes"):
        load_plain(
            written(
                tmp_path,
                number.replace(b"\x07\\x00", b"\x07").replace(b"X\x04\0\0\0\x07\0\0\0", b"X\x03\0\0\0\x07\0\0"),
            )
        )
    with pytest.raises(DatasetError, match="a list at"):
        load_plain(tmp_path / "none.pkl")


def test_shared_and_circular_content(tmp_path):
    shared = ["x"]
    shared.append(shared)
    read = load_plain(written(tmp_path, [shared, shared]))
    assert read[0] is read[1]
    assert read[0][1] is read[0]


def arrays(tmp_path, content):
    path = tmp_path / "arrays.pkl"
    path.write_bytes(content)
    with path.open("rb") as stream:
        return load_arrays(stream, path)


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("kind", ["<f4", ">f8", "<f2", "<i8", ">i2", "u1", "?"])
def test_arrays_of_numbers(tmp_path, protocol, kind):
    stored = {"a": {"b": np.arange(24).reshape(2, 3, 4).astype(kind), "turned": np.arange(6.0).reshape(2, 3).T}, "n": 3}
    read = arrays(tmp_path, pickle.dumps(stored, protocol))
    np.testing.assert_array_equal(read["a"]["b"], stored["a"]["b"])
    np.testing.assert_array_equal(read["a"]["turned"], stored["a"]["turned"])
    assert read["a"]["b"].dtype.isnative
    assert read["n"] == 3


def test_an_array_of_one_object_is_that_object(tmp_path):
    stored = np.array({"a": np.zeros(2)}, dtype=object)
    assert list(arrays(tmp_path, pickle.dumps(stored, 2))) == ["a"]
    with pytest.raises(CheckpointError, match="several objects"):
        arrays(tmp_path, pickle.dumps(np.array([{}, {}], dtype=object), 2))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (np.array(["text"]), "an array of numpy dtype U16"),
        (np.array([1 + 2j]), "numpy dtype 'c16'"),
        (np.zeros(2, [("a", "f4")]), "numpy dtype 'V4'"),
        (bytearray(b"x"), "bytearray"),
        (Calls(os.system, "true"), "system"),
    ],
)
def test_what_is_no_array_of_numbers(tmp_path, content, says):
    with pytest.raises(CheckpointError, match=says):
        arrays(tmp_path, pickle.dumps({"a": content}, 4))


def test_arrays_of_the_wrong_size_and_lists_without_end(tmp_path):
    right = pickle.dumps(np.zeros(3, "<f4"), 4)
    assert right.count(b"K\x03\x85") == 1  # the shape (3,)
    with pytest.raises(CheckpointError, match="20 bytes for an array"):
        arrays(tmp_path, right.replace(b"K\x03\x85", b"K\x05\x85"))
    endless = [1]
    endless.append(endless)
    with pytest.raises(CheckpointError, match="RecursionError"):
        arrays(tmp_path, pickle.dumps(endless, 4))
    with pytest.raises(CheckpointError, match="readable pickle"):
        arrays(tmp_path, b"cnumpy\nndarray\n)R.")
