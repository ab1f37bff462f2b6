"""Area fractions as a table, read back with pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from class_maps import NAMES, map_of, patchy_labels

from napari_sem_classify.core.common.files import write_text
from napari_sem_classify.core.export.fractions_csv import ALL, fractions_csv
from napari_sem_classify.core.measure.area_fraction import count_review, estimate_fractions
from napari_sem_classify.core.measure.prediction_powered import estimate_prediction_powered
from napari_sem_classify.core.measure.review import start_review


def reviewed(maps):
    review = start_review(maps, 80)
    for index, cell in enumerate(review.cells):
        review = review.with_answer(index, cell.map_class if index % 7 else 2)
    return review


def test_pandas_reads_the_fractions_of_each_image_and_of_all(tmp_path):
    maps = [map_of(patchy_labels(seed=s), image_name=f"field {s}", cut=(3, 5)) for s in (1, 2)]
    review = reviewed(maps)
    estimate = estimate_fractions(count_review(review), NAMES, pixel_size_nm=50.0)
    powered = estimate_prediction_powered(review, maps)
    write_text(tmp_path / "f.csv", fractions_csv(maps, estimate, powered))
    table = pd.read_csv(tmp_path / "f.csv")
    for class_map in maps:
        mine = table[table["image"] == class_map.image_name]
        rows = class_map.fractions()
        assert list(mine["class"]) == list(NAMES)
        assert mine["fraction"].to_numpy() == pytest.approx([r.fraction for r in rows], rel=1e-5)
        assert list(mine["area_px"]) == [r.area_px for r in rows]
        assert mine["area_um2"].to_numpy() == pytest.approx([r.area_um2 for r in rows], rel=1e-5)
        assert mine["corrected"].isna().all()
    whole = table[table["image"] == ALL]
    assert whole["corrected"].sum() == pytest.approx(1, abs=1e-5)
    assert (whole["low"] < whole["corrected"]).all()
    assert (whole["corrected"] < whole["high"]).all()
    assert whole["cells_reviewed"].sum() == 80
    values = [share.value for share in powered]
    assert whole["prediction_powered"].to_numpy() == pytest.approx(values, rel=1e-5)


def test_without_a_review_or_calibration_those_columns_are_empty(tmp_path):
    maps = [map_of(patchy_labels(), pixel_size_nm=None)]
    write_text(tmp_path / "f.csv", fractions_csv(maps))
    table = pd.read_csv(tmp_path / "f.csv")
    assert len(table) == 3
    assert table[["area_um2", "corrected", "low", "high"]].isna().all(axis=None)


def test_a_map_without_any_classified_cell_has_no_fraction(tmp_path):
    write_text(tmp_path / "f.csv", fractions_csv([map_of(np.zeros((3, 3), int))]))
    assert pd.read_csv(tmp_path / "f.csv")["fraction"].isna().all()
