"""Outlines get an honest error by point counting: what lies at random points corrects them."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sem_classify.core.common.errors import AnnotationError
from napari_sem_classify.core.export.fractions_csv import fractions_csv
from napari_sem_classify.core.export.summary import summarise
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.sem_image import SemImage, Specimen
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.maps.map_file import settle
from napari_sem_classify.core.measure import strata
from napari_sem_classify.core.measure.area_fraction import count_review, estimate_fractions
from napari_sem_classify.core.measure.review import extend_review, start_review
from napari_sem_classify.core.measure.review_file import load_review, save_review
from napari_sem_classify.core.measure.review_place import find_review
from napari_sem_classify.core.measure.review_table import answer_from_masks, write_cell_pictures
from napari_sem_classify.core.model.card import ClassInfo
from napari_sem_classify.core.tiles.grid import TileGrid

NAMES = ("matrix", "grains")
SHAPE = (240, 320)
MEANING = {0: "matrix", 1: "grains"}


@pytest.fixture(scope="module")
def truth():
    y, x = np.indices(SHAPE)
    return ((np.sin(x / 9.0) * np.cos(y / 11.0)) > 0.55).astype(np.uint8)


@pytest.fixture(scope="module")
def outlines(truth):
    """Outlines that are too wide, as a file of them is read: pixels, classes alone."""
    from scipy.ndimage import binary_dilation

    labels = binary_dilation(truth, iterations=2).astype(np.uint8) + 1
    labels[:, 300:] = 0
    probabilities, record = settle(labels, None, 2, {})
    grid = TileGrid(Area(0, SHAPE[0], 0, SHAPE[1]), 32, 1)
    classes = tuple(ClassInfo(n, c) for n, c in zip(NAMES, ("#1f77b4", "#ff7f0e"), strict=True))
    return ClassMap(probabilities, grid, classes, 10.0, "grains", record=record)


def test_points_correct_the_area_and_their_interval_holds_the_truth(truth, outlines):
    true = truth[:, :300].mean()
    values, held = [], 0
    for seed in range(60):
        review = answer_from_masks(
            start_review([outlines], 200, seed=seed), [outlines], [truth], MEANING
        )
        share = estimate_fractions(count_review(review), NAMES).corrected[1]
        values.append(share.value)
        held += share.low <= true <= share.high
    drawn = outlines.fractions()[1].fraction
    assert drawn - true > 0.05
    assert np.mean(values) == pytest.approx(true, abs=0.01)
    assert held >= 54  # of 60 at 95 %


def test_what_is_written_says_that_points_were_asked(truth, outlines, tmp_path):
    review = start_review([outlines], 50)
    assert review.points and {cell.area_px for cell in review.cells} == {1}
    save_review(review, tmp_path / "r.json")
    assert load_review(tmp_path / "r.json") == review
    review = answer_from_masks(review, [outlines], [truth], MEANING)
    found = estimate_fractions(count_review(review), NAMES, pixel_size_nm=10.0)
    assert fractions_csv([outlines], found).splitlines()[-1].endswith(",points")
    image = SemImage("grains", np.zeros(SHAPE, np.uint8), Specimen(Area(0, *SHAPE[:1], 0, 320)))
    told = summarise(outlines, image, found)["corrected"]
    assert (told["unit"], told["reviewed"]) == ("point", 50)
    assert told["classes"][1]["low"] < told["classes"][1]["value"] < told["classes"][1]["high"]
    (tmp_path / "p").mkdir()
    assert write_cell_pictures(review, [outlines], [image], tmp_path / "p") == 50


def test_a_review_of_tiles_is_not_taken_for_one_of_outlines(outlines, tmp_path):
    tiles = ClassMap(
        np.full((15, 20, 2), 0.5, np.float32),
        TileGrid(outlines.grid.area, 16, 16),
        outlines.classes,
        image_name="grains",
    )
    save_review(start_review([tiles], 20), tmp_path / "grains.review.json")
    found = find_review([outlines], tmp_path / "grains.tif", tmp_path / "own")
    assert (found.review, found.note) == (None, "")
    with pytest.raises(AnnotationError, match="either kind"):
        start_review([tiles, outlines], 20)


def test_huge_outlines_are_drawn_from_without_listing_all_pixels(outlines, monkeypatch):
    monkeypatch.setattr(strata, "MOST_LISTED", 100)
    review = start_review([outlines], 80, seed=3)
    places = {(cell.row, cell.col) for cell in review.cells}
    assert len(places) == 80
    labels = outlines.labels()
    assert all(labels[cell.row, cell.col] == cell.map_class for cell in review.cells)
    longer = extend_review(review, [outlines], [10, 20])
    assert longer.cells[:80] == review.cells and len(longer.cells) == 110
