"""TIFF of every compression, as image and as labels, with and without the package imagecodecs."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image
from sem_pictures import specimen

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.sem_io import open_image
from napari_sem_classify.core.sem_io.label_file import read_labels

EXACT = ["lzw", "zstd", "zlib", "lzma", "packbits", "deflate", "jpeg2000", "lerc", "png"]
ORIENTATION = 274


def pixels_of(path):
    image = open_image(path)
    return image.read(image.area.__class__(0, image.shape[0], 0, image.shape[1]))


def labels():
    return (
        np.random.default_rng(5).integers(0, 4, (12, 15), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    )


@pytest.mark.parametrize("codec", EXACT)
@pytest.mark.parametrize("tile", [None, (32, 48)])
def test_lossless_codecs_give_image_and_labels_to_the_digit(tmp_path, codec, tile):
    picture, numbers = specimen(120, 150), labels()
    tifffile.imwrite(tmp_path / "i.tif", picture, compression=codec, tile=tile)
    tifffile.imwrite(tmp_path / "l.tif", numbers, compression=codec, tile=tile)
    np.testing.assert_array_equal(pixels_of(tmp_path / "i.tif"), picture)
    np.testing.assert_array_equal(read_labels(tmp_path / "l.tif"), numbers)


@pytest.mark.parametrize("codec", ["jpeg", "webp", "jpegxr", "jpegxl"])
def test_lossy_codecs_are_read(tmp_path, codec):
    picture = np.repeat(specimen(96, 128)[..., None], 3, axis=-1)
    tifffile.imwrite(tmp_path / "i.tif", picture, photometric="rgb", compression=codec)
    assert np.abs(pixels_of(tmp_path / "i.tif").astype(int) - picture[..., 0]).mean() < 16


@pytest.mark.parametrize("codec", [None, "lzw", "zlib"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("predictor", [False, True])
def test_planes_of_colour_and_predictors(tmp_path, codec, dtype, predictor):
    if predictor and codec is None:
        return
    planes = np.stack([specimen(90, 110, seed, dtype=dtype) for seed in range(3)])
    keywords = {"photometric": "rgb", "compression": codec, "predictor": predictor or None}
    tifffile.imwrite(tmp_path / "p.tif", planes, planarconfig="separate", **keywords)
    tifffile.imwrite(tmp_path / "c.tif", np.moveaxis(planes, 0, -1), **keywords)
    assert open_image(tmp_path / "p.tif").colour == "colour"
    one, other = (pixels_of(tmp_path / f"{name}.tif").astype(int) for name in "pc")
    assert np.abs(one - other).max() <= 1  # luminance is rounded


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_ink_is_dark_and_paper_is_bright(tmp_path, compression):
    rgb = np.zeros((60, 80, 3), np.uint8)
    rgb[:, :20] = 255
    rgb[:, 20:40] = (255, 0, 0)
    Image.fromarray(rgb).convert("CMYK").save(tmp_path / "k.tif", compression=compression)
    Image.fromarray(rgb).save(tmp_path / "r.tif")
    np.testing.assert_array_equal(pixels_of(tmp_path / "k.tif"), pixels_of(tmp_path / "r.tif"))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_never_applied_whatever_the_codec(tmp_path, orientation, request):
    picture = specimen(70, 90)
    tag = [(ORIENTATION, 3, 1, orientation, True)]
    for codec in (None, "lzw", "zlib"):
        tifffile.imwrite(tmp_path / f"{codec}.tif", picture, compression=codec, extratags=tag)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(picture).save(tmp_path / "a.png", exif=exif)
    Image.fromarray(picture).save(tmp_path / "a.jpg", exif=exif, quality=100)
    for name in ("None.tif", "lzw.tif", "zlib.tif", "a.png"):
        np.testing.assert_array_equal(pixels_of(tmp_path / name), picture)
        np.testing.assert_array_equal(read_labels(tmp_path / name), picture)
    assert open_image(tmp_path / "a.jpg").shape == picture.shape
    told = "orientation" in open_image(tmp_path / "lzw.tif").metadata
    assert told == (orientation != 1)
    request.getfixturevalue("without_codecs")
    np.testing.assert_array_equal(pixels_of(tmp_path / "lzw.tif"), picture)
    np.testing.assert_array_equal(read_labels(tmp_path / "lzw.tif"), picture)


def test_black_and_white_swapped_by_every_decoder(tmp_path, request):
    picture = specimen(64, 72)
    tifffile.imwrite(tmp_path / "w.tif", picture, photometric="miniswhite", compression="lzw")
    np.testing.assert_array_equal(pixels_of(tmp_path / "w.tif"), 255 - picture)
    request.getfixturevalue("without_codecs")
    np.testing.assert_array_equal(pixels_of(tmp_path / "w.tif"), 255 - picture)


def test_without_the_package_colour_is_read_as_it_is_or_refused(tmp_path, without_codecs):
    planes = np.stack([specimen(90, 110, seed) for seed in range(3)])
    for name, config, data in (
        ("c", "contig", np.moveaxis(planes, 0, -1)),
        ("p", "separate", planes),
        ("w", "contig", np.moveaxis(planes, 0, -1).astype(np.uint16) * 257),
    ):
        keywords = {"photometric": "rgb", "planarconfig": config, "compression": "lzw"}
        tifffile.imwrite(tmp_path / f"{name}.tif", data, **keywords)
    one, other = (pixels_of(tmp_path / f"{name}.tif").astype(int) for name in "cp")
    assert np.abs(one - other).max() <= 1
    with pytest.raises(ImageError, match=r"\[codecs\]"):  # Pillow would keep 8 of its 16 bits
        pixels_of(tmp_path / "w.tif")


def test_a_jpeg_in_inks_is_the_right_way_round(tmp_path):
    rgb = np.zeros((64, 64, 3), np.uint8)
    rgb[:, :32] = 255
    Image.fromarray(rgb).convert("CMYK").save(tmp_path / "k.jpg", quality=95)
    grey = pixels_of(tmp_path / "k.jpg")
    assert grey[:, :24].min() > 240
    assert grey[:, 40:].max() < 15


def test_damaged_data_prints_nothing_of_the_library(tmp_path, without_codecs, capfd):
    path = tmp_path / "d.tif"
    tifffile.imwrite(path, specimen(128, 160), compression="lzw")
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[0].dataoffsets[0]
    content = bytearray(path.read_bytes())
    content[offset + 50 : offset + 4000] = bytes(3950)
    path.write_bytes(bytes(content))
    with pytest.raises(ImageError, match="damaged"):
        pixels_of(path)
    assert capfd.readouterr().err == ""


def test_a_tile_whose_jpeg_is_larger_than_the_tile_is_refused(tmp_path):
    path = tmp_path / "j.tif"
    tifffile.imwrite(path, specimen(64, 64), tile=(64, 64), compression="jpeg")
    big = tmp_path / "big.tif"
    tifffile.imwrite(big, np.zeros((4096, 4096), np.uint8), tile=(4096, 4096), compression="jpeg")
    with tifffile.TiffFile(big) as tiff:
        tiff.filehandle.seek(tiff.pages[0].dataoffsets[0])
        data = tiff.filehandle.read(tiff.pages[0].databytecounts[0])
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tags = tiff.pages[0].tags
        end = path.stat().st_size
        tags["TileOffsets"].overwrite(end)
        tags["TileByteCounts"].overwrite(len(data))
    with path.open("ab") as file:
        file.write(data)
    with pytest.raises(ImageError, match="unpacks to more"):
        pixels_of(path)


def test_a_tile_of_deflate_is_unpacked_once_and_on_all_cores(tmp_path, monkeypatch):
    import threading

    pytest.importorskip("imagecodecs", reason="needs the extra 'codecs'")
    from napari_sem_classify.core.sem_io import tiff_chunks, tiff_decode

    pixels = np.random.default_rng(0).integers(0, 9, (1024, 1024), np.uint8)
    path = tmp_path / "tiles.tif"
    tifffile.imwrite(path, pixels, tile=(64, 64), compression="zlib")
    monkeypatch.setattr(tiff_chunks.os, "cpu_count", lambda: 4)
    monkeypatch.setattr(tiff_decode, "unpacks_beyond", None)  # only asked where decoding fails
    threads = set()
    decoder = tifffile.TIFF.DECOMPRESSORS[8]

    def seen(data, **options):
        threads.add(threading.current_thread().name)
        return decoder(data, **options)

    seen.__module__, seen.__name__ = decoder.__module__, decoder.__name__
    monkeypatch.setitem(tifffile.TIFF.DECOMPRESSORS._codecs, 8, seen)
    image = open_image(path)
    threads.clear()
    assert np.array_equal(np.asarray(image.data[...]), pixels)
    assert len(threads) > 1
