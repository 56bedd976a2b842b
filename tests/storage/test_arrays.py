"""Arrays with a checksum, in files that any reader of safetensors opens."""

import json
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from jumpretrain.storage import arrays

CONTENT = {
    "wide": np.arange(12.0).reshape(3, 4),
    "short": np.arange(5, dtype=np.int16),
    "one": np.float32(2.5),
    "none": np.zeros((0, 3), np.float32),
    "true": np.array([True, False]),
    "back": np.arange(4.0)[::-1],
    "big": np.arange(3, dtype=">f4"),
}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.safetensors"
    arrays.write(path, CONTENT, {"note": "ä"})
    return path


def test_what_is_written_is_read_by_us_and_by_safetensors(path):
    found, others = arrays.read(path), load_file(path)
    assert found.facts == {"note": "ä"} and found.format == arrays.FORMAT
    assert found.arrays.keys() == CONTENT.keys() == others.keys() - {"checksum"}
    for name, array in CONTENT.items():
        for one in (found.arrays[name], others[name]):
            assert one.dtype == array.dtype.newbyteorder("=")
            np.testing.assert_array_equal(one, array)


def test_what_safetensors_wrote_is_read_without_a_checksum(tmp_path):
    content = {name: CONTENT[name].copy() for name in ("wide", "short", "none")}
    save_file(content, tmp_path / "a", metadata={"facts": json.dumps({"note": 1})})
    found = arrays.read(tmp_path / "a")
    assert found.format == 1 and found.facts == {"note": 1}
    for name, array in content.items():
        np.testing.assert_array_equal(found.arrays[name], array)


def refused(path, content):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.safetensors ") as found:
        arrays.read(path, lambda name: name < "o")
    assert "\n" not in str(found.value)
    return str(found.value)


@pytest.mark.parametrize("step", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_every_flipped_bit_is_found_and_named(path, step):
    whole = path.read_bytes()
    for place in range(0, 8 * len(whole), step):
        content = bytearray(whole)
        content[place // 8] ^= 1 << place % 8
        said = refused(path, content)
        assert "delete it and repeat the call" in said or "as a newer version writes" in said


def test_every_truncation_and_what_is_added_is_found(path):
    whole = path.read_bytes()
    for length in range(0, len(whole), 3):
        assert "must be a whole safetensors file" in refused(path, whole[:length])
    assert "must be a whole safetensors file" in refused(path, whole + b"\0")


@settings(max_examples=50, deadline=None)
@given(size=st.integers(1, 3 * arrays.PIECE), place=st.floats(0, 0.999), bit=st.integers(0, 7))
def test_a_flip_is_found_at_every_size_of_a_file(tmp_path_factory, size, place, bit):
    path = tmp_path_factory.getbasetemp() / "sizes.safetensors"
    arrays.write(path, {"a": np.full(size, 255, np.uint8)}, {})
    assert arrays.read(path, lambda _: False).arrays == {}
    assert (arrays.read(path).arrays["a"] == 255).all()
    content = bytearray(path.read_bytes())
    content[-5 - int(place * size)] ^= 1 << bit
    path.write_bytes(content)
    for wanted in (True, False):
        with pytest.raises(ValueError, match="its checksum differs"):
            arrays.read(path, lambda _, wanted=wanted: wanted)


def test_blocks_that_change_places_are_found(path):
    content = np.arange(4 * arrays.BLOCK // 8, dtype=np.int64)
    arrays.write(path, {"a": content}, {})
    whole = path.read_bytes()
    swapped = content.reshape(4, -1)[[1, 0, 2, 3]].tobytes()
    said = refused(path, whole[: -4 - len(swapped)] + swapped + whole[-4:])
    assert "its checksum differs" in said


def test_a_file_of_a_newer_version_is_refused_by_it(path, monkeypatch):
    monkeypatch.setattr(arrays, "FORMAT", 3)
    arrays.write(path, CONTENT, {})
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"up to format 2, but .* of format 3, .* update jump"):
        arrays.read(path)


def test_a_stamp_tells_a_file_that_was_written_again(path):
    first = arrays.read(path).stamp
    assert arrays.read(path).stamp == first
    os.utime(path, ns=(0, 0))
    assert arrays.read(path).stamp != first
