"""Files dropped on the viewer become calibrated layers, and layers become the same images again."""

from __future__ import annotations

import json

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from napari.components import ViewerModel
from napari.layers import Image
from sem_pictures import panel, specimen, with_bar

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.sem_io import open_image
from napari_sem_classify.plugin.files.reader import get_reader
from napari_sem_classify.plugin.layers.layer_image import image_from_layer

PICTURE = with_bar(specimen(400, 512), panel(40, 512))


def layers_of(path):
    given = path if isinstance(path, list) else str(path)
    return [Image(data, **keywords) for data, keywords, _ in get_reader(given)(given)]


def units(layer):
    return tuple(str(unit) for unit in layer.units)


@pytest.fixture
def calibrated(tmp_path):
    path = tmp_path / "coating_12.tif"
    options = {"resolution": (1 / 12.5, 1 / 12.5), "metadata": {"unit": "nm"}}
    tifffile.imwrite(path, PICTURE, imagej=True, **options)
    return path


def test_a_calibrated_file_is_a_layer_in_nanometres_with_its_bar_visible(calibrated):
    (layer,) = layers_of(calibrated)
    assert layer.name == "coating_12"
    np.testing.assert_allclose(layer.scale, [12.5, 12.5])
    assert units(layer) == ("nanometer", "nanometer")
    np.testing.assert_array_equal(layer.data, PICTURE)
    notes = layer.metadata["sem_classify"]
    assert notes["specimen"] == [0, 400, 0, 512]
    assert notes["pixel_size_nm"] == pytest.approx(12.5)
    assert notes["path"] == str(calibrated)


def test_an_uncalibrated_file_has_neither_scale_nor_units(tmp_path):
    tifffile.imwrite(tmp_path / "plain.tif", PICTURE, resolution=(96, 96))
    ((_, keywords, kind),) = get_reader(str(tmp_path / "plain.tif"))(str(tmp_path / "plain.tif"))
    assert kind == "image"
    assert "scale" not in keywords
    assert "units" not in keywords


def test_the_notes_can_be_saved_as_they_are(calibrated):
    (layer,) = layers_of(calibrated)
    assert json.loads(json.dumps(layer.metadata["sem_classify"])) == layer.metadata["sem_classify"]


def test_file_to_layer_to_image_loses_nothing(calibrated):
    (layer,) = layers_of(calibrated)
    direct, through = open_image(calibrated), image_from_layer(layer)
    for name in ("name", "shape", "specimen", "pixel_size_source", "vendor", "path", "metadata"):
        assert getattr(through, name) == getattr(direct, name)
    assert through.pixel_size_nm == pytest.approx(direct.pixel_size_nm)
    np.testing.assert_array_equal(through.read(through.area), direct.read(direct.area))


def test_every_makers_file_makes_the_round_trip(shared_data):
    for path in sorted((shared_data / "vendor").rglob("*.tif")):
        try:
            direct = open_image(path)
        except ImageError:
            with pytest.raises(ImageError):
                layers_of(path)
            continue
        (layer,) = layers_of(path)
        through = image_from_layer(layer)
        assert through.specimen == direct.specimen
        assert through.vendor == direct.vendor
        if direct.pixel_size_nm is None:
            assert through.pixel_size_nm is None
        else:
            assert through.pixel_size_nm == pytest.approx(direct.pixel_size_nm)
        assert through.pixel_size_source == direct.pixel_size_source


@pytest.mark.parametrize(
    ("unit", "scale", "expected"),
    [("um", 0.02, 20.0), ("nm", 3.5, 3.5), ("mm", 1e-5, 10.0), ("pixel", 5.0, None)],
)
def test_the_scale_of_any_layer_counts_where_its_units_are_lengths(unit, scale, expected):
    layer = Image(PICTURE, scale=(scale, scale), units=(unit, unit))
    image = image_from_layer(layer)
    if expected is None:
        assert image.pixel_size_nm is None
        assert image.pixel_size_source == "not calibrated"
    else:
        assert image.pixel_size_nm == pytest.approx(expected)
        assert image.pixel_size_source == "layer scale"


def test_a_layer_whose_pixels_are_not_square_is_not_calibrated():
    layer = Image(PICTURE, scale=(2.0, 3.0), units=("nm", "nm"))
    assert image_from_layer(layer).pixel_size_nm is None


def test_a_scale_changed_by_the_user_wins_over_the_file(calibrated):
    (layer,) = layers_of(calibrated)
    layer.scale = (25.0, 25.0)
    image = image_from_layer(layer)
    assert image.pixel_size_nm == pytest.approx(25.0)
    assert image.pixel_size_source == "layer scale"


def test_a_layer_without_notes_is_searched_for_its_bar():
    image = image_from_layer(Image(PICTURE, name="from elsewhere"))
    assert image.area.as_list() == [0, 400, 0, 512]
    assert image.specimen.source == "pixels"


@pytest.mark.parametrize(
    "notes",
    ["text", {"specimen": "x"}, {"specimen": [0, 9], "shape": [440, 512]}, {"specimen": None},
     {"specimen": [9, 9, 0, 5], "specimen_source": "user", "shape": [440, 512]},
     {"specimen": [0, 300, 0, 512], "specimen_source": "user", "shape": [99, 99]}],
)  # fmt: skip
def test_notes_of_others_do_no_harm(notes):
    image = image_from_layer(Image(PICTURE, metadata={"sem_classify": notes}))
    assert image.area.as_list() == [0, 400, 0, 512]


def test_an_area_set_by_the_user_is_kept_in_the_notes():
    notes = {"specimen": [3, 300, 4, 500], "specimen_source": "user",
             "specimen_reason": "set by user", "shape": [440, 512]}  # fmt: skip
    image = image_from_layer(Image(PICTURE, metadata={"sem_classify": notes}))
    assert image.area == Area(3, 300, 4, 500)
    assert image.specimen.source == "user"


def test_colour_stays_colour_in_the_viewer(tmp_path):
    colour = np.stack([PICTURE, PICTURE // 2, PICTURE // 3], axis=-1)
    tifffile.imwrite(tmp_path / "c.tif", colour)
    (layer,) = layers_of(tmp_path / "c.tif")
    assert layer.rgb
    image = image_from_layer(layer)
    assert image.colour == "colour"
    assert image.area.bottom == 400


def test_a_stack_has_a_scale_for_every_axis(tmp_path):
    planes = np.stack([PICTURE] * 3)
    options = {"resolution": (50.0, 50.0), "metadata": {"unit": "um", "axes": "ZYX"}}
    tifffile.imwrite(tmp_path / "s.tif", planes, imagej=True, **options)
    (layer,) = layers_of(tmp_path / "s.tif")
    np.testing.assert_allclose(layer.scale, [1.0, 20.0, 20.0])
    assert units(layer) == ("pixel", "nanometer", "nanometer")
    assert image_from_layer(layer).leading_shape == (3,)


def ome_zarr(path):
    group = zarr.open_group(str(path), mode="w", zarr_format=3)
    datasets = []
    for index in range(3):
        level = PICTURE[:: 2**index, :: 2**index]
        stored = group.create_array(
            str(index), shape=level.shape, dtype=level.dtype, chunks=(64, 64)
        )
        stored[:] = level
        scale = {"type": "scale", "scale": [0.01 * 2**index] * 2}
        datasets.append({"path": str(index), "coordinateTransformations": [scale]})
    axes = [{"name": n, "type": "space", "unit": "micrometer"} for n in "yx"]
    group.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [{"axes": axes, "datasets": datasets}],
    }
    return path


def test_ome_zarr_is_a_multiscale_layer_and_its_finest_level_the_image(tmp_path):
    (layer,) = layers_of(ome_zarr(tmp_path / "o.zarr"))
    assert layer.multiscale
    assert [level.shape for level in layer.data] == [(440, 512), (220, 256), (110, 128)]
    assert all(isinstance(level, da.Array) for level in layer.data)
    np.testing.assert_allclose(layer.scale, [10.0, 10.0])
    image = image_from_layer(layer)
    assert image.shape == (440, 512)
    assert image.pixel_size_nm == pytest.approx(10.0)
    np.testing.assert_array_equal(image.read(image.area), PICTURE[:400])


def test_a_folder_of_equal_images_is_one_stack_and_of_others_a_layer_each(tmp_path):
    for index in range(3):
        tifffile.imwrite(tmp_path / f"{index}.tif", specimen(80, 90, index))
    (layer,) = layers_of(tmp_path)
    assert layer.data.shape == (3, 80, 90)
    tifffile.imwrite(tmp_path / "3.tif", specimen(80, 95))
    assert [layer.name for layer in layers_of(tmp_path)] == ["0", "1", "2", "3"]


def test_a_folder_with_other_things_in_it_is_nobodys_series(tmp_path):
    tifffile.imwrite(tmp_path / "0.tif", specimen(80, 90))
    (tmp_path / "0.txt").write_text("a microscope's notes")
    (tmp_path / ".DS_Store").write_bytes(b"")
    assert get_reader(str(tmp_path)) is not None
    (tmp_path / "analysis.py").write_text("")
    assert get_reader(str(tmp_path)) is None
    (tmp_path / "analysis.py").unlink()
    (tmp_path / "other").mkdir()
    assert get_reader(str(tmp_path)) is None


def test_a_large_folder_of_unequal_images_is_refused_in_a_sentence(tmp_path):
    for index in range(21):
        tifffile.imwrite(tmp_path / f"{index}.tif", specimen(70, 70 + index // 20))
    with pytest.raises(ImageError, match="a series needs images of one size"):
        layers_of(tmp_path)


def test_a_folder_dropped_on_the_viewer_is_one_calibrated_series(make_napari_viewer, tmp_path):
    folder = tmp_path / "slices"
    folder.mkdir()
    options = {"resolution": (1 / 12.5, 1 / 12.5), "metadata": {"unit": "nm"}}
    for index in (10, 9, 1):
        tifffile.imwrite(folder / f"s{index}.tif", specimen(80, 90, index), imagej=True, **options)
    viewer = make_napari_viewer()
    viewer.open(str(folder), plugin="napari-sem-classify")
    (layer,) = viewer.layers
    assert layer.name == "slices"
    assert layer.data.shape == (3, 80, 90)
    np.testing.assert_allclose(layer.scale, (1, 12.5, 12.5))
    assert units(layer) == ("pixel", "nanometer", "nanometer")
    np.testing.assert_array_equal(layer.data[1], specimen(80, 90, 9))
    image = image_from_layer(layer)
    assert (image.leading_shape, image.pixel_size_nm) == ((3,), pytest.approx(12.5))


@pytest.mark.parametrize("suffix", [".tif", ".btf", ".tf8", ".dm3", ".dm4", ".elid", ".bcf"])
def test_the_viewer_offers_the_reader_for_each_suffix(tmp_path, suffix):
    from npe2 import PluginManager
    from npe2.manifest import PluginManifest

    from napari_sem_classify.core.sem_io.listing import is_image_name

    manager = PluginManager()
    manager.register(PluginManifest.from_distribution("napari-sem-classify"))
    readers = list(manager.iter_compatible_readers([str(tmp_path / f"IMAGE{suffix.upper()}")]))
    assert [reader.plugin_name for reader in readers] == ["napari-sem-classify"]
    assert is_image_name(tmp_path / f"image{suffix}")


def test_files_opened_as_a_stack_are_one_layer(tmp_path):
    paths = []
    for index in range(2):
        paths.append(str(tmp_path / f"{index}.tif"))
        tifffile.imwrite(paths[-1], specimen(80, 90, index))
    (layer,) = layers_of(paths)
    assert layer.data.shape == (2, 80, 90)


def test_what_is_no_image_is_left_to_other_readers(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "table.csv").write_text("a,b")
    assert get_reader(str(tmp_path / "table.csv")) is None
    assert get_reader(str(tmp_path / "empty")) is None
    assert get_reader([]) is None


def test_layers_of_both_kinds_live_in_one_viewer(calibrated, tmp_path):
    tifffile.imwrite(tmp_path / "plain.tif", PICTURE)
    viewer = ViewerModel()
    for path in (calibrated, tmp_path / "plain.tif"):
        for data, keywords, _ in get_reader(str(path))(str(path)):
            viewer.add_image(data, **keywords)
    assert [layer.name for layer in viewer.layers] == ["coating_12", "plain"]


def test_the_viewer_opens_a_file_through_the_manifest(make_napari_viewer_proxy, calibrated):
    viewer = make_napari_viewer_proxy()
    (layer,) = viewer.open(str(calibrated), plugin="napari-sem-classify")
    np.testing.assert_allclose(layer.scale, [12.5, 12.5])
    assert image_from_layer(layer).pixel_size_source == "ImageJ metadata"
    assert viewer.layers[0].source.reader_plugin == "napari-sem-classify"
