"""Annotations are edited without loss, kept on disk without loss, and given to other programs."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_sem_classify.core.annotate.annotation_file import (
    annotations_csv,
    annotations_geojson,
    beside,
    load_annotations,
    save_annotations,
    write_annotation_labels,
)
from napari_sem_classify.core.annotate.annotation_set import Annotations, Mark
from napari_sem_classify.core.annotate.place import fingerprint
from napari_sem_classify.core.common.errors import AnnotationError
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.sem_image import SemImage, Specimen
from napari_sem_classify.core.tiles.grid import TileGrid


def an_image(seed=0, path: Path | None = None, rows=100, cols=120) -> SemImage:
    pixels = np.random.default_rng(seed).integers(0, 256, (rows, cols), dtype=np.uint8)
    return SemImage(f"image {seed}", pixels, Specimen(Area(0, rows, 0, cols)), path=path)


def two_classes() -> Annotations:
    return Annotations().with_class("matrix").with_class("oxide")


@pytest.fixture
def painted():
    image = an_image()
    key = fingerprint(image)
    painted = (
        two_classes()
        .with_image(image, key)
        .with_marks(key, [(0, 0, 32), (32, 32, 32)], "matrix")
        .with_marks(key, [(64, 96, 32)], "oxide", correction=True)
    )
    return painted, key


def test_a_new_class_takes_a_free_colour(painted):
    more = painted[0].with_class("crack")
    colours = [info.colour for info in more.classes]
    assert len(set(colours)) == 3
    assert more.without_class("oxide").with_class("pore").classes[-1].colour == colours[1]


def test_an_edit_leaves_the_former_state_as_it_was(painted):
    before, key = painted
    after = before.with_marks(key, [(0, 0, 32)], "oxide").without_marks(key, [(32, 32, 32)])
    assert before.counts() == {"matrix": 2, "oxide": 1}
    assert after.counts() == {"matrix": 0, "oxide": 2}


def test_renaming_and_merging_carry_the_tiles_along(painted):
    before, key = painted
    renamed = before.renamed("oxide", "scale")
    assert renamed.of(key).marks[64, 96, 32] == Mark("scale", correction=True)
    merged = before.merged("oxide", "matrix")
    assert merged.class_names == ("matrix",)
    assert merged.counts() == {"matrix": 3}
    assert before.without_class("matrix").counts() == {"oxide": 1}


def test_a_class_cannot_be_named_twice_or_be_unknown(painted):
    before, key = painted
    with pytest.raises(AnnotationError, match="already"):
        before.with_class("oxide")
    with pytest.raises(AnnotationError, match="already"):
        before.renamed("oxide", "matrix")
    with pytest.raises(AnnotationError, match="needs a name"):
        before.with_class("  ")
    with pytest.raises(AnnotationError, match="no class"):
        before.with_marks(key, [(0, 0, 32)], "pore")


def test_marks_show_on_a_grid_that_has_their_tiles_and_wait_on_another(painted):
    annotations, key = painted
    mine = annotations.of(key)
    area = Area(0, 100, 0, 120)
    shown = mine.tile_labels(TileGrid(area, 32, 32), annotations.class_names)
    assert shown.labels[0, 0] == 0
    assert shown.labels[1, 1] == 0
    assert shown.counts.tolist() == [2, 0]  # the tile at column 96 is not on this grid
    assert mine.tile_labels(TileGrid(area, 16, 16), annotations.class_names).n_labelled == 0


def test_annotations_come_back_from_disk_as_they_were(painted, tmp_path):
    path = tmp_path / "image.annotations.json"
    save_annotations(path, painted[0])
    assert load_annotations(path) == painted[0]


def test_the_rule_of_a_thin_class_comes_back_and_older_files_have_none(painted, tmp_path):
    path = tmp_path / "image.annotations.json"
    save_annotations(path, painted[0].with_rule("oxide", 0.02))
    assert load_annotations(path).rules == {"oxide": 0.02}
    value = json.loads(path.read_text())
    for info in value["classes"]:
        info.pop("contains", None)
    path.write_text(json.dumps(value))
    assert load_annotations(path) == painted[0]


@pytest.mark.parametrize("share", [0, 1.5, "much", True, None])
def test_a_rule_that_is_no_share_is_refused(painted, share, tmp_path):
    path = tmp_path / "bad.json"
    save_annotations(path, painted[0])
    value = json.loads(path.read_text())
    value["classes"][0]["contains"] = share
    path.write_text(json.dumps(value))
    with pytest.raises(AnnotationError, match="damaged"):
        load_annotations(path)


def test_an_image_is_known_again_after_its_folder_moved(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    image = an_image(path=old / "a.tif")
    key = fingerprint(image)
    file = beside(old / "a.tif")
    assert file.name == "a.annotations.json"
    save_annotations(
        file, two_classes().with_image(image, key).with_marks(key, [(0, 0, 32)], "oxide")
    )
    old.rename(new)
    moved = replace(image, path=new / "a.tif")
    found = load_annotations(new / "a.annotations.json").with_image(moved, fingerprint(moved))
    assert len(found.images) == 1
    assert found.of(key).marks == {(0, 0, 32): Mark("oxide")}
    assert found.of(key).path == new / "a.tif"


def test_an_image_whose_pixels_changed_is_known_by_its_path(tmp_path):
    image = an_image(0, tmp_path / "a.tif")
    key = fingerprint(image)
    before = two_classes().with_image(image, key).with_marks(key, [(0, 0, 32)], "oxide")
    edited = an_image(1, tmp_path / "a.tif")
    after = before.with_image(edited, fingerprint(edited))
    assert len(after.images) == 1
    assert after.of(fingerprint(edited)).marks == {(0, 0, 32): Mark("oxide")}


def test_two_images_have_their_own_annotations():
    first, second = an_image(0), an_image(1)
    keys = fingerprint(first), fingerprint(second)
    both = two_classes().with_image(first, keys[0]).with_image(second, keys[1])
    both = both.with_marks(keys[1], [(0, 0, 32)], "oxide")
    assert not both.of(keys[0]).marks
    assert both.counts()["oxide"] == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "damaged"),
        ('{"format": "napari-sem-cl', "damaged"),
        ("[1, 2]", "no annotations"),
        ('{"format": "something else"}', "no annotations"),
        ('{"format": "napari-sem-classify annotations", "format_version": 99}', "update"),
        ('{"format": "napari-sem-classify annotations", "format_version": 1}', "damaged"),
        ("[" * 100_000, "damaged"),
    ],
)
def test_a_file_that_is_no_annotations_is_refused_in_one_sentence(text, words, tmp_path):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(AnnotationError, match=words) as caught:
        load_annotations(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_impossible_tile_is_refused(painted, tmp_path):
    path = tmp_path / "bad.json"
    save_annotations(path, painted[0])
    value = json.loads(path.read_text())
    value["images"][0]["tiles"][0][3] = 7
    path.write_text(json.dumps(value))
    with pytest.raises(AnnotationError, match="damaged"):
        load_annotations(path)


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(AnnotationError, match="cannot be read"):
        load_annotations(tmp_path / "nothing.json")


PAINT_FOREVER = """
import sys
from pathlib import Path

import numpy as np

from napari_sem_classify.core.annotate.annotation_file import save_annotations
from napari_sem_classify.core.annotate.annotation_set import Annotations
from napari_sem_classify.core.image.sem_image import SemImage, Specimen
from napari_sem_classify.core.image.area import Area

image = SemImage("a", np.zeros((640, 640), np.uint8), Specimen(Area(0, 640, 0, 640)))
painted = Annotations().with_class("oxide").with_image(image, "key")
with open(sys.argv[2], "ab", buffering=0) as told:
    for stroke in range(100_000):
        painted = painted.with_marks("key", [(stroke // 600, stroke % 600, 32)], "oxide")
        save_annotations(Path(sys.argv[1]), painted)
        told.write(b".")
"""


@pytest.mark.slow
def test_a_kill_in_the_middle_of_a_save_loses_at_most_the_last_stroke(tmp_path):
    path, told = tmp_path / "a.annotations.json", tmp_path / "told"
    told.touch()
    for delay in (0.05, 0.11, 0.17):
        told.write_bytes(b"")
        painter = subprocess.Popen([sys.executable, "-c", PAINT_FOREVER, str(path), str(told)])
        while told.stat().st_size == 0:
            assert painter.poll() is None
            time.sleep(0.01)
        time.sleep(delay)
        painter.kill()
        painter.wait()
        strokes = told.stat().st_size
        assert load_annotations(path).counts()["oxide"] in (strokes, strokes + 1)


def test_the_csv_has_a_row_per_tile_in_pixels(painted):
    rows = list(csv.DictReader(io.StringIO(annotations_csv(painted[0]))))
    assert len(rows) == 3
    assert rows[2] == {
        "image": "image 0", "y": "64", "x": "96", "height": "32", "width": "24",
        "class": "oxide", "correction": "1",
    }  # fmt: skip


def test_the_label_image_can_be_taught_from_again(painted, tmp_path):
    annotations, key = painted
    path = tmp_path / "labels.tif"
    write_annotation_labels(path, annotations, annotations.of(key))
    labels = tifffile.imread(path)
    assert labels.shape == (100, 120)
    assert np.bincount(labels.ravel()).tolist() == [12000 - 2048 - 768, 2048, 768]
    with tifffile.TiffFile(path) as file:
        names = json.loads(file.pages[0].description)["classes"]
    assert names == {"0": "unlabelled", "1": "matrix", "2": "oxide"}


def test_the_geojson_holds_closed_squares_with_class_and_colour(painted):
    annotations, key = painted
    features = annotations_geojson(annotations, annotations.of(key))["features"]
    assert len(features) == 3
    ring = features[0]["geometry"]["coordinates"][0]
    assert ring == [[0, 0], [32, 0], [32, 32], [0, 32], [0, 0]]
    assert features[2]["properties"]["classification"]["name"] == "oxide"
    assert features[2]["properties"]["classification"]["color"] == [86, 180, 233]


def test_the_specimen_of_an_image_is_guessed_until_it_is_said(painted, tmp_path):
    annotations, key = painted
    guess = annotations.images[0].specimen
    said = annotations.with_specimen(key, "steel A")
    save_annotations(tmp_path / "said.json", said)
    assert load_annotations(tmp_path / "said.json").images[0].specimen == "steel A"
    assert said.with_specimen(key, " ").images[0].specimen == guess != "steel A"
