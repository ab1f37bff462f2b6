"""What a record says of files: the same name for the same content, whatever the size."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_sem_classify.core.classify.record import (
    HASHED_BYTES,
    content_hash,
    file_sha256,
    pack_mask,
    unpack_mask,
)


def test_a_file_is_named_by_all_it_holds(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(b"pixels")
    assert content_hash(path) == {"sha256": file_sha256(path), "sampled_sha256": None}


def test_nothing_to_read_has_no_name(tmp_path):
    nothing = {"sha256": None, "sampled_sha256": None}
    assert content_hash(None) == content_hash(tmp_path / "gone") == nothing


def test_a_very_large_file_is_named_by_its_size_and_a_sample(tmp_path):
    def sparse(name, size=HASHED_BYTES + 1000, last=b""):
        path = tmp_path / name
        with path.open("wb") as file:
            file.truncate(size)
            if last:
                file.seek(size - len(last))
                file.write(last)
        return content_hash(path)["sampled_sha256"]

    first = sparse("a")
    assert first is not None
    assert sparse("b") == first
    assert sparse("c", size=HASHED_BYTES + 1001) != first
    assert sparse("d", last=b"other") != first
    assert content_hash(tmp_path / "a")["sha256"] is None


def test_a_folder_is_named_alike_after_a_copy_and_otherwise_after_a_change(tmp_path):
    folder = tmp_path / "a.zarr"
    for number in range(40):
        chunk = folder / "0" / "c" / str(number) / "0"
        chunk.parent.mkdir(parents=True)
        chunk.write_bytes(bytes([number]) * 100)
    (folder / "zarr.json").write_text("{}")
    first = content_hash(folder)["sampled_sha256"]
    copy = tmp_path / "copy.zarr"
    shutil.copytree(folder, copy)
    os.utime(copy / "zarr.json", (1, 1))
    assert content_hash(copy)["sampled_sha256"] == first
    (copy / "zarr.json").write_text("[]")
    assert content_hash(copy)["sampled_sha256"] != first


@given(arrays.arrays(bool, st.tuples(st.integers(1, 20), st.integers(1, 20))))
def test_a_mask_comes_back_as_it_was(mask):
    assert np.array_equal(unpack_mask(pack_mask(mask)), mask)


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [3]},
        {"bits": "!"},
        {"kept": 1},
        {"shape": [3, 3]},
        {"shape": [0, 0]},
        {"bits": ""},
    ],
)
def test_a_damaged_mask_is_refused(change):
    with pytest.raises(ValueError, match="no mask"):
        unpack_mask({**pack_mask(np.ones((2, 3), bool)), **change})
