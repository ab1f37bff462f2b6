"""Label images of every kind: numbers, palettes, colours, and another size by a whole factor."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_sem_classify.core.annotate.class_spec import colours_in, parse_classes
from napari_sem_classify.core.common.errors import AnnotationError, ImageError
from napari_sem_classify.core.sem_io.label_file import (
    NO_COLOUR,
    fit_labels,
    labelled_images,
    labels_of,
    read_labels,
)

RED, GREEN = 0xFF0000, 0x00FF00


@pytest.fixture
def mask():
    numbers = np.zeros((40, 60), np.uint8)
    numbers[:, 20:40], numbers[:, 40:] = 1, 2
    return numbers


def coloured(mask):
    return np.array([[0, 0, 0], [255, 0, 0], [0, 255, 0]], np.uint8)[mask]


def test_palettes_give_their_numbers_in_png_and_tiff(tmp_path, mask):
    picture = Image.fromarray(mask).convert("P")
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    picture.save(tmp_path / "p.png")
    table = np.zeros((3, 256), np.uint16)
    table[0, 1], table[1, 2] = 65535, 65535
    tifffile.imwrite(tmp_path / "p.tif", mask, photometric="palette", colormap=table)
    for name in ("p.png", "p.tif"):
        np.testing.assert_array_equal(read_labels(tmp_path / name), mask)
        by_colour = read_labels(tmp_path / name, [RED, GREEN])
        np.testing.assert_array_equal(by_colour == RED, mask == 1)
        np.testing.assert_array_equal(by_colour == GREEN, mask == 2)
        np.testing.assert_array_equal(by_colour == NO_COLOUR, mask == 0)


@pytest.mark.parametrize("name", ["c.png", "c.bmp", "lzw.tif", "planes.tif", "rgba.png"])
def test_colours_stand_for_classes_when_they_are_named(tmp_path, mask, name):
    rgb = coloured(mask)
    if name == "lzw.tif":
        tifffile.imwrite(tmp_path / name, rgb, photometric="rgb", compression="lzw")
    elif name == "planes.tif":
        planes = np.moveaxis(rgb, -1, 0)
        tifffile.imwrite(tmp_path / name, planes, photometric="rgb", planarconfig="separate")
    else:
        picture = Image.fromarray(rgb)
        (picture.convert("RGBA") if name == "rgba.png" else picture).save(tmp_path / name)
    found = read_labels(tmp_path / name, colours_in("#FF0000=oxide,#00ff00=matrix"))
    np.testing.assert_array_equal(found == RED, mask == 1)
    np.testing.assert_array_equal(found == GREEN, mask == 2)
    with pytest.raises(AnnotationError, match=r"in colour.*found: .*#ff0000"):
        read_labels(tmp_path / name)
    with pytest.raises(AnnotationError, match=r"none of the colours.*#00ff00"):
        read_labels(tmp_path / name, [0x123456])


def test_negative_values_are_values(tmp_path):
    numbers = np.array([[-1, 0], [2, -32768]], np.int16).repeat(20, 0).repeat(20, 1)
    tifffile.imwrite(tmp_path / "n.tif", numbers)
    np.testing.assert_array_equal(read_labels(tmp_path / "n.tif"), numbers)
    assert parse_classes("-1=void,2=oxide") == [(-1, "void"), (2, "oxide")]


def test_whole_decimal_numbers_are_numbers(tmp_path, mask):
    tifffile.imwrite(tmp_path / "f.tif", mask.astype(np.float32), compression="zlib")
    np.testing.assert_array_equal(read_labels(tmp_path / "f.tif"), mask)
    tifffile.imwrite(tmp_path / "g.tif", mask + np.float32(0.5))
    with pytest.raises(AnnotationError, match="not whole numbers"):
        read_labels(tmp_path / "g.tif")


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_another_size_by_a_whole_factor_is_brought_to_the_images(tmp_path, mask, factor):
    large = mask.repeat(factor, 0).repeat(factor, 1)
    np.testing.assert_array_equal(fit_labels(mask, large.shape, "l"), large)
    np.testing.assert_array_equal(fit_labels(large, mask.shape, "l"), mask)
    Image.fromarray(mask).save(tmp_path / "m.png")
    np.testing.assert_array_equal(labels_of(large.shape, tmp_path / "m.png"), large)


def test_other_sizes_stay_and_turned_ones_are_told(mask):
    assert fit_labels(mask, (80, 121), "l") is mask
    with pytest.raises(AnnotationError, match="was turned"):
        fit_labels(mask, (60, 40), "l")


def test_commas_and_colours_in_the_text_of_classes():
    text = "0=matrix, fine,1=carbides, coarse>=2%"
    assert parse_classes(text) == [(0, "matrix, fine"), (1, "carbides, coarse")]
    assert parse_classes("#ff0000=oxide, dense,#00FF00=matrix") == [
        (RED, "oxide, dense"),
        (GREEN, "matrix"),
    ]
    assert colours_in("0=a,1=b") is None
    with pytest.raises(AnnotationError, match="mix numbers and colours"):
        parse_classes("0=a,#ff0000=b")


def test_images_and_labels_that_cannot_be_read_are_named_one_by_one(tmp_path, mask):
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.fromarray(mask).save(good)
    bad.write_bytes(b"broken")
    pairs, left_out = labelled_images([good, bad, tmp_path / "x.tif"], [good, good, good])
    assert list(pairs) == [0]
    assert list(left_out) == [str(bad), str(tmp_path / "x.tif")]
    assert "does not exist" in left_out[str(tmp_path / "x.tif")]
    with pytest.raises(ImageError, match=r"bad\.png"):
        labelled_images([bad], [good])


def test_a_missing_and_a_broken_file_are_one_sentence(tmp_path):
    with pytest.raises(AnnotationError, match="do not exist"):
        read_labels(tmp_path / "none.png")
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    with pytest.raises(AnnotationError, match="cannot be read"):
        read_labels(tmp_path / "b.png")
