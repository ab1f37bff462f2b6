"""Resolutions of one image: the level that suits a model is read, and means the same places."""

from __future__ import annotations

import json

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from sem_pictures import panel, specimen, with_bar
from tiny_engine import TinyEngine, brightness_classifier

from napari_sem_classify.core.batch.batch_state import BatchTarget
from napari_sem_classify.core.batch.classify_many import classify_many
from napari_sem_classify.core.classify.options import ClassifyOptions
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.levels import specimen_at_level
from napari_sem_classify.core.image.sem_image import Specimen
from napari_sem_classify.core.sem_io import open_for_scale, open_image

NM = 4.0


def write_pyramid(path, picture, levels=3, nm=NM):
    """An OME-Zarr 0.4 of `picture`, each level the mean of 2 × 2 pixels of the one before."""
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    datasets = []
    for level in range(levels):
        group.create_array(str(level), shape=picture.shape, chunks=(64, 64), dtype=picture.dtype)[
            :
        ] = picture
        scale = [nm * 2**level] * 2
        transforms = [{"type": "scale", "scale": scale}]
        datasets.append({"path": str(level), "coordinateTransformations": transforms})
        rows, cols = (n // 2 * 2 for n in picture.shape)
        blocks = picture[:rows, :cols].reshape(rows // 2, 2, cols // 2, 2)
        picture = blocks.mean(axis=(1, 3)).round().astype(picture.dtype)
    axes = [{"name": name, "type": "space", "unit": "nanometer"} for name in "yx"]
    multiscales = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    group.attrs["multiscales"] = multiscales
    return path


def halves(rows=256, cols=512):
    random = np.random.default_rng(0)
    picture = np.full((rows, cols), 60.0)
    picture[:, cols // 2 :] = 190.0
    return np.clip(picture + random.normal(0, 6, picture.shape), 1, 254).astype(np.uint8)


@pytest.mark.parametrize(("wanted", "level"), [(None, 0), (1.0, 0), (4.0, 0), (9.0, 1), (40, 2)])
def test_the_coarsest_level_that_is_fine_enough_is_opened(tmp_path, wanted, level):
    image = open_for_scale(write_pyramid(tmp_path / "a.zarr", halves()), wanted)
    assert image.level == level
    assert image.shape == (256 >> level, 512 >> level)
    assert image.pixel_size_nm == pytest.approx(NM * 2**level)


def test_a_bar_found_on_the_finest_level_counts_on_all(tmp_path):
    picture = with_bar(specimen(400, 512), panel(48, 512))
    path = write_pyramid(tmp_path / "bar.zarr", picture, levels=4)
    assert open_image(path).area.bottom == 400
    for level in (1, 2, 3):
        image = open_image(path, level)
        assert image.area == Area(0, 400 >> level, 0, 512 >> level)
        assert image.specimen.reason == open_image(path).specimen.reason


@given(st.data())
def test_a_coarse_pixel_of_the_specimen_shows_nothing_else(data):
    full = data.draw(st.tuples(st.integers(1, 300), st.integers(1, 300)))
    level = tuple(data.draw(st.integers(1, n)) for n in full)
    top, left = (data.draw(st.integers(0, n - 1)) for n in full)
    area = Area(
        top,
        data.draw(st.integers(top + 1, full[0])),
        left,
        data.draw(st.integers(left + 1, full[1])),
    )
    coarse = specimen_at_level(Specimen(area), full, level).area
    assert coarse.bottom <= level[0]
    assert coarse.right <= level[1]
    for start, stop, first, last, n_full, n in (
        (coarse.top, coarse.bottom, area.top, area.bottom, full[0], level[0]),
        (coarse.left, coarse.right, area.left, area.right, full[1], level[1]),
    ):
        step = n_full / n
        if stop - start > 1:
            assert start * step >= first - 1e-3
            assert stop * step <= last + 1e-3
        # No more than a coarse pixel is given away at either end.
        assert start * step - first < step
        assert last - stop * step < step


def test_an_area_over_the_whole_image_stays_whole():
    whole = Specimen(Area(0, 101, 0, 77))
    assert specimen_at_level(whole, (101, 77), (50, 38)).area == Area(0, 50, 0, 38)


def test_a_batch_reads_the_level_of_the_models_scale_and_says_so(tmp_path):
    path = write_pyramid(tmp_path / "big.zarr", halves())
    model = brightness_classifier(tile_px=16, pixel_size_nm=8.0)
    report = classify_many(
        [path],
        model,
        BatchTarget(tmp_path / "out"),
        ClassifyOptions(cache=False),
        engine=TinyEngine(),
    )
    (done,) = report.done
    assert "resolution level 1 is read (256 × 128 px)" in done.note
    assert not done.scale_warning
    (plane,) = done.planes
    assert (plane["cells"], plane["tile_px"]) == (8 * 16, 16)
    assert [each["fraction"] for each in plane["classes"]] == [0.5, 0.5]
    # Half of 256 × 512 pixels of 4 nm, whatever the level.
    assert plane["classes"][0]["area_um2"] == pytest.approx(256 * 256 * NM**2 / 1e6)
    summary = json.loads(next((tmp_path / "out").glob("*.summary.json")).read_text())
    assert summary["record"]["image"]["level"] == summary["level"] == 1


def test_tiles_asked_for_in_micrometres_have_that_size_on_the_level(tmp_path):
    path = write_pyramid(tmp_path / "big.zarr", halves())
    model = brightness_classifier(tile_px=16, pixel_size_nm=8.0)
    wish = ClassifyOptions(tile_um=0.256, cache=False)
    (done,) = classify_many(
        [path], model, BatchTarget(tmp_path / "out"), wish, engine=TinyEngine()
    ).done
    assert done.planes[0]["tile_px"] == 32


def test_a_model_without_a_scale_reads_the_finest_level(tmp_path):
    path = write_pyramid(tmp_path / "big.zarr", halves())
    report = classify_many(
        [path],
        brightness_classifier(),
        BatchTarget(tmp_path / "out"),
        ClassifyOptions(cache=False),
        engine=TinyEngine(),
    )
    assert "level" not in report.done[0].note
