"""A class map that is saved, closed and opened again works as it did after its run."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import tifffile
from class_maps import map_of, patchy_labels

from napari_sem_classify.core.common.errors import OutputError
from napari_sem_classify.core.export.outputs import write_outputs
from napari_sem_classify.plugin.app.session import session_of
from napari_sem_classify.plugin.files.writer import saved_map
from napari_sem_classify.plugin.layers.made_layers import (
    CLASSES,
    CONFIDENCE,
    add_class_map,
    made_from,
)
from napari_sem_classify.plugin.layers.status import describe

from ..conftest import PLUGIN, half_dark, until
from .test_classify_widget import table_texts

NM = {"scale": (10, 10), "units": ("nm", "nm")}


@pytest.fixture
def picture(tmp_path):
    """A calibrated file, 10 nm a pixel."""
    path = tmp_path / "field_7.tif"
    options = {"resolution": (100.0, 100.0), "metadata": {"unit": "um"}}
    tifffile.imwrite(path, half_dark(), imagej=True, **options)
    return path


@pytest.fixture
def classified(qtbot, real_viewer, open_widget, small_model, picture):
    """The file in the viewer, with a map of the small model; gives the Classify widget."""
    real_viewer.open(str(picture), plugin=PLUGIN)
    widget = open_widget("Classify")
    widget.model_form.offer(small_model.entry)
    until(qtbot, lambda: widget.image_form.image is not None)
    widget.grid_form.overlap.value = 50
    widget.run_form.button.native.click()
    until(qtbot, lambda: not widget.busy)
    return widget


def map_layer(viewer):
    (layer,) = [each for each in viewer.layers if each in session_of(viewer).maps]
    return layer


def looks(layer):
    """All that must be the same after reopening."""
    state = layer.as_layer_data_tuple()[1]
    return {
        "labels": np.asarray(layer.data).tolist(),
        "name": layer.name,
        "colours": {k: np.round(v, 4).tolist() for k, v in layer.colormap.color_dict.items()},
        "features": layer.features.to_dict("list"),
        "units": [str(unit) for unit in layer.units],
        "axes": tuple(layer.axis_labels),
        "opacity": layer.opacity,
        "affine": np.round(np.asarray(state["affine"]), 9).tolist(),
        **{k: np.round(np.asarray(state[k]), 6).tolist() for k in ("scale", "translate", "rotate")},
    }


def edges(layer):
    """Outer edges of a layer in the world; its extent is told from pixel centre to pixel centre."""
    half = np.asarray(layer.scale) / 2
    return layer.extent.world + np.array([-half, half])


def assert_same(found, expected):
    for key in expected:
        np.testing.assert_equal(found[key], expected[key], err_msg=key)


@pytest.mark.parametrize("ending", [".map.tif", ".map.ome.zarr"])
def test_save_close_and_reopen_gives_the_same_map(
    qtbot, real_viewer, classified, picture, tmp_path, ending
):
    before = looks(map_layer(real_viewer))
    class_map = session_of(real_viewer).maps[map_layer(real_viewer)][()]
    table, place = table_texts(classified.result_form.table), np.array([300.0, 2000.0])
    said = describe(real_viewer, place)
    path = tmp_path / f"kept{ending}"
    assert map_layer(real_viewer).save(str(path)) == [str(path)]
    real_viewer.layers.clear()
    assert table_texts(classified.result_form.table) != table or not (
        classified.result_form.table.isVisible()
    )
    real_viewer.open(str(path), plugin=PLUGIN)
    # The image came along, since it was closed.
    names = [layer.name for layer in real_viewer.layers]
    assert names == ["field_7", "field_7 · confidence", "field_7 · classes"]
    assert_same(looks(map_layer(real_viewer)), before)
    until(qtbot, lambda: table_texts(classified.result_form.table) == table)
    assert describe(real_viewer, place) == said
    found = session_of(real_viewer).maps[map_layer(real_viewer)][()]
    np.testing.assert_array_equal(found.probabilities, class_map.probabilities)
    image_layer = real_viewer.layers["field_7"]
    assert made_from(real_viewer, image_layer, CLASSES) == [map_layer(real_viewer)]
    (confidence,) = made_from(real_viewer, image_layer, CONFIDENCE)
    np.testing.assert_array_equal(confidence.data, class_map.confidence())


def test_saved_with_its_image_and_more_layers(real_viewer, classified, tmp_path):
    path = tmp_path / "all.map.ome.zarr"
    assert real_viewer.layers.save(str(path)) == [str(path)]
    before = looks(map_layer(real_viewer))
    real_viewer.layers.clear()
    real_viewer.open(str(path), plugin=PLUGIN)
    assert_same(looks(map_layer(real_viewer)), before)


def test_an_image_that_is_open_is_found_and_not_opened_twice(
    qtbot, real_viewer, classified, tmp_path
):
    path = tmp_path / "kept.map.tif"
    layer = map_layer(real_viewer)
    before = looks(layer)
    layer.save(str(path))
    for each in [each for each in real_viewer.layers if each.name != "field_7"]:
        real_viewer.layers.remove(each)
    real_viewer.layers["field_7"].name = "renamed"
    real_viewer.open(str(path), plugin=PLUGIN)
    image_layer = real_viewer.layers["renamed"]
    assert len(real_viewer.layers) == 3
    assert made_from(real_viewer, image_layer, CLASSES) == [map_layer(real_viewer)]
    assert_same(looks(map_layer(real_viewer)), before)
    assert len(table_texts(classified.result_form.table)) == 2


def test_an_image_opened_later_gets_its_map_laid_on_it(real_viewer, classified, picture, tmp_path):
    path = tmp_path / "kept.map.tif"
    map_layer(real_viewer).save(str(path))
    table = table_texts(classified.result_form.table)
    real_viewer.layers.clear()
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    shutil.move(picture, moved / picture.name)
    real_viewer.open(str(path), plugin=PLUGIN)
    layer = map_layer(real_viewer)
    assert session_of(real_viewer).source_of(layer) is None
    # Without an image the table still tells.
    assert table_texts(classified.result_form.table) == table
    turned = real_viewer.add_image(half_dark(), name="field_7", rotate=30, translate=(50, 8), **NM)
    assert session_of(real_viewer).source_of(layer) is turned
    assert real_viewer.layers.index(layer) > real_viewer.layers.index(turned)
    grid = session_of(real_viewer).maps[layer][()].grid
    y, x, _ = grid.affine() @ (2, 3, 1)
    np.testing.assert_allclose(layer.data_to_world((2, 3)), turned.data_to_world((y, x)))


def test_another_image_of_the_name_is_not_taken_for_it(real_viewer, classified, picture, tmp_path):
    path = tmp_path / "kept.map.tif"
    map_layer(real_viewer).save(str(path))
    real_viewer.layers.clear()
    picture.unlink()
    real_viewer.add_image(half_dark()[:100], name="field_7", **NM)
    real_viewer.open(str(path), plugin=PLUGIN)
    assert session_of(real_viewer).source_of(map_layer(real_viewer)) is None


def test_what_was_painted_is_what_is_saved(real_viewer, classified, tmp_path):
    layer = map_layer(real_viewer)
    layer.data[3, 3:5] = 2
    layer.save(str(tmp_path / "kept.map.tif"))
    real_viewer.layers.clear()
    real_viewer.open(str(tmp_path / "kept.map.tif"), plugin=PLUGIN)
    again = map_layer(real_viewer)
    assert again.data[3, 3:5].tolist() == [2, 2]
    assert session_of(real_viewer).maps[again][()].record["painted_cells"] == 2
    again.data[0, 0] = 9
    with pytest.raises(OutputError, match="number 9"):
        again.save(str(tmp_path / "kept.map.tif"))


def test_a_stack_comes_back_with_the_planes_that_were_classified(real_viewer, tmp_path):
    from dataclasses import replace

    place = {"scale": (100, 10, 10), "units": ("nm",) * 3}
    stack = real_viewer.add_image(np.ones((3, 64, 96), np.uint8), name="stack", **place)
    class_map = replace(map_of(patchy_labels((4, 6)), image_name="stack"), plane=(2,))
    layer = add_class_map(real_viewer, class_map, stack, leading_shape=(3,))
    before = looks(layer)
    layer.save(str(tmp_path / "s.map.tif"))
    real_viewer.layers.remove(layer)
    real_viewer.open(str(tmp_path / "s.map.tif"), plugin=PLUGIN)
    again = map_layer(real_viewer)
    assert_same(looks(again), before)
    assert list(session_of(real_viewer).maps[again]) == [(2,)]
    assert session_of(real_viewer).source_of(again) is stack


def test_an_ome_zarr_whose_image_is_gone_shows_its_picture(
    real_viewer, classified, picture, tmp_path
):
    path = tmp_path / "all.map.ome.zarr"
    real_viewer.layers.save(str(path))
    before = looks(map_layer(real_viewer))
    real_viewer.layers.clear()
    picture.unlink()
    real_viewer.open(str(path), plugin=PLUGIN)
    shown = real_viewer.layers["field_7 · picture"]
    layer = map_layer(real_viewer)
    assert_same(looks(layer), {k: v for k, v in before.items() if k != "axes"})
    np.testing.assert_allclose(edges(shown), edges(layer), atol=1e-6)
    assert classified.image_form.layer is None


def test_layers_that_are_no_class_maps_are_refused_in_a_sentence(real_viewer, tmp_path):
    plain = real_viewer.add_labels(np.ones((4, 4), np.uint8), name="mask")
    for name in ("a.map.tif", "a.map.ome.zarr"):
        with pytest.raises(OutputError, match="class map"):
            plain.save(str(tmp_path / name))
    assert not list(tmp_path.glob("a.*"))
    written = plain.save(str(tmp_path / "plain.tif"))
    assert written, "napari's own writer still takes plain labels"
    assert tifffile.imread(written[0]).tolist() == [[1] * 4] * 4


def test_a_map_that_no_viewer_holds_keeps_its_classes(real_viewer):
    image = real_viewer.add_image(half_dark(), name="field_7", **NM)
    class_map = map_of(patchy_labels((8, 12)), image_name="field_7")
    data, attributes, _ = add_class_map(real_viewer, class_map, image).as_layer_data_tuple()
    saved = saved_map(data.copy(), attributes)
    np.testing.assert_array_equal(saved.first.labels(), class_map.labels())
    assert (saved.first.classes, saved.first.grid) == (class_map.classes, class_map.grid)
    assert not saved.first.confidence_known


# ---------------------------------------------------------------------- the command line's files


@pytest.fixture
def outputs(tmp_path, picture):
    """What the command line writes for one image, and the map it wrote."""
    from napari_sem_classify.core.sem_io import open_image

    class_map = map_of(patchy_labels((8, 16)), image_name="field_7", pixel_size_nm=10.0)
    folder = tmp_path / "out"
    write_outputs(class_map, open_image(picture), folder, "field_7")
    return folder, class_map


def test_outputs_dropped_on_napari_are_maps_over_their_image(real_viewer, outputs):
    folder, class_map = outputs
    real_viewer.open(str(folder / "field_7.map.tif"), plugin=PLUGIN)
    layer = map_layer(real_viewer)
    image_layer = real_viewer.layers["field_7"]
    assert session_of(real_viewer).source_of(layer) is image_layer
    np.testing.assert_array_equal(layer.data, class_map.labels())
    np.testing.assert_allclose(edges(layer), edges(image_layer))
    assert list(layer.features["class"])[1:] == [info.name for info in class_map.classes]
    assert describe(real_viewer, np.array([5.0, 5.0])).startswith(
        class_map.classes[class_map.labels()[0, 0] - 1].name + " 80.0 %"
    )


def test_the_legend_is_shown_without_opening_a_widget(qtbot, real_viewer, outputs):
    folder, class_map = outputs
    real_viewer.open(str(folder / "field_7.map.tif"), plugin=PLUGIN)

    def told():
        texts = [getattr(each, "text", "") for each in real_viewer.canvas.overlays.values()]
        return [text for text in texts if text.startswith("■")]

    until(qtbot, lambda: len(told()) == len(class_map.classes))
    assert told() == [f"■ {info.name}" for info in class_map.classes]


def test_the_whole_folder_dropped_gives_map_and_image_and_no_overlay_picture(real_viewer, outputs):
    folder, _ = outputs
    real_viewer.open(str(folder), plugin=PLUGIN)
    names = [layer.name for layer in real_viewer.layers]
    assert names == ["field_7", "field_7 · confidence", "field_7 · classes"]


def test_planes_in_files_of_their_own_become_one_layer(real_viewer, tmp_path):
    from dataclasses import replace

    from napari_sem_classify.core.sem_io import image_from_array

    pixels = np.stack([half_dark()] * 3)
    image = image_from_array(pixels, "stack", pixel_size_nm=10.0, pixel_size_source="set")
    labels = [patchy_labels((8, 16), seed) for seed in range(3)]
    for number, each in enumerate(labels):
        class_map = replace(map_of(each, image_name="stack"), plane=(number,))
        write_outputs(class_map, image, tmp_path / "out", "stack")
    real_viewer.open(str(tmp_path / "out"), plugin=PLUGIN)
    layer = map_layer(real_viewer)
    np.testing.assert_array_equal(layer.data, np.stack(labels))
    assert list(session_of(real_viewer).maps[layer]) == [(0,), (1,), (2,)]
