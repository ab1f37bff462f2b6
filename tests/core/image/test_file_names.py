"""Names of the files that are made of an image."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from napari_sem_classify.core.image.file_names import MAX_BYTES, free_stem, stem_of
from napari_sem_classify.core.image.sem_image import plane_suffix


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        (Path("scans/Überzug 3.tif"), "Überzug 3"),
        (Path("-x.tif"), "-x"),
        (Path("two\nlines.tif"), "two_lines"),
        (Path("ends. .tif"), "ends"),
        (Path("con.tif"), "_con"),
        (Path(os.fsdecode(b"b\xff.tif")), "b_"),
        ("a/b: c?\x1b[2J", "a_b_ c__[2J"),
        ("...", "image"),
    ],
)
def test_every_disk_takes_the_stem_of_any_name(name, stem):
    assert stem_of(name) == stem


def test_long_names_are_shortened_and_stay_apart():
    long = [stem_of("é" * 120 + end) for end in "ab"]
    assert long[0] != long[1]
    for stem in long:
        assert stem.startswith("é" * 80)
        assert len(stem.encode()) <= MAX_BYTES
        assert stem_of(stem) == stem
    assert stem_of("a" * MAX_BYTES) == "a" * MAX_BYTES


@pytest.mark.parametrize("names", [("a", "a_z0001"), ("a_z0001", "a"), ("A", "a_z0001_z0002")])
def test_an_image_is_never_named_as_a_plane_of_another(names):
    taken: set[str] = set()
    first, second = (free_stem(name, taken) for name in names)
    assert (first, second) == (names[0], f"{names[1]}-2")
    planes = {stem + plane_suffix((n,)) for stem in (first, second) for n in range(3)}
    assert not planes & {first, second}


def test_planes_that_were_saved_one_by_one_keep_their_names():
    taken: set[str] = set()
    names = [f"a_z{number:04d}" for number in range(12)]
    assert [free_stem(name, taken) for name in names] == names


def test_names_that_some_disk_takes_for_the_same_are_told_apart():
    taken: set[str] = set()
    apart = unicodedata.normalize("NFD", "é")
    assert [free_stem(each, taken) for each in ("é", "É", apart)] == ["é", "É-2", f"{apart}-3"]
