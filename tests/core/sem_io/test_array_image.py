"""Arrays that are open already: numpy, dask, zarr and multiscale lists as one image."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr
from sem_pictures import panel, specimen, with_bar

from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.sem_image import Specimen
from napari_sem_classify.core.sem_io import image_from_array
from napari_sem_classify.core.sem_io.arrays import ArrayView, ChannelsLast, FirstChannel, Palette

PICTURE = with_bar(specimen(400, 512), panel(40, 512))


def as_zarr(picture):
    array = zarr.create_array({}, shape=picture.shape, dtype=picture.dtype, chunks=(100, 128))
    array[:] = picture
    return array


KINDS = {
    "numpy": lambda picture: picture,
    "dask": lambda picture: da.from_array(picture, chunks=(100, 128)),
    "zarr": as_zarr,
    "multiscale": lambda picture: [picture, picture[::2, ::2]],
}


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_of_every_kind(kind):
    image = image_from_array(KINDS[kind](PICTURE), "layer")
    assert image.shape == PICTURE.shape
    assert image.area.as_list() == [0, 400, 0, 512]
    assert image.chunks == ((100, 128) if kind in ("dask", "zarr") else None)
    assert image.pixel_size_source == "not calibrated"
    window = Area(30, 77, 41, 90)
    np.testing.assert_array_equal(image.read(window), PICTURE[30:77, 41:90])


def test_only_what_is_asked_for_is_computed():
    def refuse(block, block_info=None):
        raise RuntimeError("this block was not asked for")

    good = da.from_array(np.asarray(specimen(300, 256)), chunks=128)
    bad = da.zeros((300, 256), chunks=128, dtype=np.uint8).map_blocks(refuse, dtype=np.uint8)
    data = da.concatenate([good, bad, good])
    image = image_from_array(data, "layer", specimen=Specimen(Area(0, 900, 0, 256)))
    np.testing.assert_array_equal(image.read(Area(0, 200, 0, 256)), specimen(300, 256)[:200])


def test_a_known_specimen_area_is_kept_and_one_that_does_not_fit_is_not():
    known = Specimen(Area(5, 300, 7, 500), "user", "set by user")
    assert image_from_array(PICTURE, "layer", specimen=known).specimen is known
    too_large = Specimen(Area(0, 900, 0, 512), "user", "set by user")
    assert image_from_array(PICTURE, "layer", specimen=too_large).area.bottom == 400


def test_rgb_layers():
    grey = np.stack([PICTURE] * 4, axis=-1)
    grey[..., 3] = 255
    assert image_from_array(grey, "layer", rgb=True).colour == "grey"
    coloured = grey.copy()
    coloured[..., 1] //= 2
    image = image_from_array(coloured, "layer", rgb=True)
    assert image.colour == "colour"
    assert image.shape == PICTURE.shape


def test_a_pixel_size_and_its_source():
    image = image_from_array(PICTURE, "layer", pixel_size_nm=8.0)
    assert (image.pixel_size_nm, image.pixel_size_source) == (8.0, "layer scale")


KEYS = [
    np.s_[2, 3:9, 4:20],
    np.s_[..., 1],
    np.s_[1],
    np.s_[:, 2:4],
    np.s_[0, 7, 8],
    np.s_[-1, ::2, ::3],
    np.s_[1:1, :, :],
]
PLANES = np.stack([specimen(24, 32, seed, np.uint16) for seed in range(3)])


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_views_index_like_the_arrays_they_stand_for(key):
    np.testing.assert_array_equal(ArrayView(PLANES.astype(">u2"))[key], PLANES[key])
    channels = np.stack([PLANES, PLANES + 1, PLANES + 2], axis=-1)
    np.testing.assert_array_equal(FirstChannel(channels)[key], PLANES[key])
    planar = np.moveaxis(channels, -1, -3)
    np.testing.assert_array_equal(ChannelsLast(planar)[key], channels[key])
    indices = (PLANES % 7).astype(np.uint8)
    table = np.arange(21, dtype=np.uint8).reshape(7, 3)
    np.testing.assert_array_equal(Palette(indices, table)[key], table[indices][key])


def test_views_know_their_shape_and_native_type():
    view = ArrayView(PLANES.astype(">u2"))
    assert view.dtype == np.uint16
    assert (view.shape, view.ndim, view.size) == (PLANES.shape, 3, PLANES.size)
    with pytest.raises(IndexError):
        view[0, 0, 0, 0]
