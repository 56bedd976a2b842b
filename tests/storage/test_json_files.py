"""JSON that tells of itself when it was changed."""

import json
from dataclasses import dataclass, field

import numpy as np
import pytest

from jumpretrain.storage import json_files, manifests

CONTENT = {"a": [0.1, 1e-05, "ä"], "nested": {"checksum": "mine"}, "z": np.inf, "n": None}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "manifest.json"
    json_files.write_sealed(path, CONTENT)
    return path


def test_sealed_content_comes_back_without_its_checksum(path):
    assert json_files.read_sealed(path) == (json_files.plain(CONTENT), True)
    assert json_files.read_json(path) == json_files.plain(CONTENT)
    assert json.loads(path.read_text()).keys() == {*CONTENT, "checksum"}


def test_what_was_not_sealed_is_read_too(path):
    json_files.write_json(path, [1, 2])
    assert json_files.read_sealed(path) == ([1, 2], False)


@pytest.mark.parametrize("step", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_every_flipped_bit_is_found(path, step):
    whole = path.read_bytes()
    missed = []
    for place in range(0, 8 * len(whole), step):
        content = bytearray(whole)
        content[place // 8] ^= 1 << place % 8
        path.write_bytes(content)
        try:
            if json_files.read_sealed(path)[1]:
                missed.append(place)
        except ValueError as error:
            assert "manifest.json must be whole JSON" in str(error) and "\n" not in str(error)
    assert missed == []


def test_every_truncation_is_found(path):
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"put a copy of it back, or name another folder"):
            json_files.read_json(path)


@pytest.mark.parametrize("depth", [400, 900, 100_000])
def test_json_that_is_nested_without_end_is_refused_in_one_line(tmp_path, depth):
    path = tmp_path / "manifest.json"
    path.write_text('{"seeds": ' + "[" * depth + "]" * depth + "}")
    for content in (path.read_text(), path.read_text().replace("}", ', "checksum": "0"}')):
        path.write_text(content)
        try:
            manifests.identity(manifests.read(path))
        except ValueError as error:
            assert str(path) in str(error) and "\n" not in str(error)


def test_a_field_that_came_later_is_told_only_where_it_is_set():
    @dataclass(frozen=True)
    class Design:
        size: int = 1
        goal: float | None = field(default=None, metadata=json_files.LATER)

    assert json_files.plain(Design()) == {"size": 1}
    assert json_files.plain(Design(goal=2.0)) == {"size": 1, "goal": 2.0}
