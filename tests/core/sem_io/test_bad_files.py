"""Files that are damaged, lie about themselves or are no images: one sentence, never a crash."""

from __future__ import annotations

import lzma
import struct
import zlib

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image
from sem_pictures import one_strip, specimen

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.image.intensity import IntensityRecipe, measure_range
from napari_sem_classify.core.sem_io import image_from_array, list_images, open_image, open_series
from napari_sem_classify.core.sem_io.memory_budget import check_decoded_size, inflates_beyond


def sentence(path, **options):
    with pytest.raises(ImageError) as raised:
        image = open_image(path, **options)
        image.read(image.area)
    message = str(raised.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_a_file_that_is_not_there(tmp_path):
    assert "does not exist" in sentence(tmp_path / "none.tif")


def test_an_empty_file(tmp_path):
    (tmp_path / "e.tif").touch()
    assert "is empty" in sentence(tmp_path / "e.tif")


@pytest.mark.parametrize("suffix", ["png", "jpg", "txt", "dat", ""])
def test_a_file_that_is_no_image(tmp_path, suffix):
    path = tmp_path / f"notes.{suffix}"
    path.write_text("sample 12, polished, 20 kV")
    assert "is not an image" in sentence(path)


def test_a_text_named_tif(tmp_path):
    (tmp_path / "notes.tif").write_text("sample 12, polished, 20 kV")
    assert "holds something else" in sentence(tmp_path / "notes.tif")


def test_a_tiff_named_png_opens_all_the_same(tmp_path):
    picture = specimen(80, 90)
    tifffile.imwrite(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(
        open_image(tmp_path / "a.png").read(open_image(tmp_path / "a.png").area), picture
    )


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("tile", [None, (64, 64)])
@pytest.mark.parametrize("kept", [0.1, 0.6, 0.97])
def test_a_tiff_cut_short(tmp_path, compression, tile, kept):
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, specimen(200, 300), compression=compression, tile=tile)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    assert "damaged" in sentence(path)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_picture_cut_short(tmp_path, suffix):
    path = tmp_path / f"cut.{suffix}"
    Image.fromarray(specimen(200, 300)).save(path)
    path.write_bytes(path.read_bytes()[:3000])
    assert "damaged" in sentence(path)


def test_a_spoilt_strip_is_a_sentence_when_it_is_read(tmp_path):
    path = tmp_path / "s.tif"
    tifffile.imwrite(path, specimen(200, 300), compression="zlib", rowsperstrip=20)
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[0].dataoffsets[5]
    content = bytearray(path.read_bytes())
    content[offset : offset + 40] = b"\xff" * 40
    path.write_bytes(bytes(content))
    assert "damaged" in sentence(path)


def test_a_folder_is_not_an_image(tmp_path):
    assert "is a folder" in sentence(tmp_path)


def test_a_folder_whose_subfolders_hold_the_images_says_so(tmp_path):
    for day in ("monday", "tuesday"):
        (tmp_path / day).mkdir()
        tifffile.imwrite(tmp_path / day / "s.tif", specimen(64, 64))
    with pytest.raises(ImageError, match="its subfolders do, such as monday"):
        list_images([tmp_path])
    assert len(list_images([tmp_path / "**" / "*"])) == 2


def test_an_empty_folder_and_a_pattern_without_match(tmp_path):
    with pytest.raises(ImageError, match="holds no images"):
        list_images([tmp_path])
    with pytest.raises(ImageError, match="holds no images"):
        open_series(tmp_path)
    with pytest.raises(ImageError, match="No image matches"):
        list_images([tmp_path / "*.tif"])
    with pytest.raises(ImageError, match="does not exist"):
        list_images([tmp_path / "none.tif"])


def test_a_damaged_zarr(tmp_path):
    path = tmp_path / "a.zarr"
    path.mkdir()
    (path / "zarr.json").write_text('{"zarr_format": 3, "node_type": "arr')
    assert "cannot be read as zarr" in sentence(path)


def test_a_zarr_group_with_several_arrays_and_no_description(tmp_path):
    group = zarr.open_group(str(tmp_path / "g.zarr"), mode="w")
    for name in "ab":
        group.create_array(name, shape=(64, 64), dtype="u1")
    assert "2 arrays and no OME-Zarr description" in sentence(tmp_path / "g.zarr")


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 3)])
@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_a_tiny_image_opens(tmp_path, shape, suffix):
    picture = np.full(shape, 9, np.uint8)
    path = tmp_path / f"t.{suffix}"
    if suffix == "tif":
        tifffile.imwrite(path, picture, photometric="minisblack")
    else:
        Image.fromarray(picture).save(path)
    image = open_image(path)
    assert image.shape == shape
    np.testing.assert_array_equal(image.read(image.area), picture)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 7.5])
def test_constant_and_undefined_images_open(tmp_path, value):
    tifffile.imwrite(tmp_path / "c.tif", np.full((100, 120), value, np.float32))
    image = open_image(tmp_path / "c.tif")
    assert image.area.as_list() == [0, 100, 0, 120]
    if np.isfinite(value):
        measured = measure_range(image, IntensityRecipe())
        assert measured.low < measured.high
    else:
        with pytest.raises(ImageError, match="no finite values"):
            measure_range(image, IntensityRecipe())


@pytest.mark.parametrize("dtype", [np.complex64, object, "U3", "datetime64[s]"])
def test_values_that_are_no_grey_are_refused(dtype):
    with pytest.raises(ImageError, match="not grey values"):
        image_from_array(np.zeros((80, 80), dtype), "layer")


def test_a_line_of_values_is_refused():
    with pytest.raises(ImageError, match="is not an image"):
        image_from_array(np.zeros(80), "layer")


def packed_zeros(codec, total):
    piece = bytes(2**24)
    if codec == "lzma":
        packer = lzma.LZMACompressor(preset=0)
        packed = b"".join(packer.compress(piece) for _ in range(total // len(piece)))
        return packed + packer.flush()
    # Blocks that stand alone are the same for each piece: one is packed and repeated.
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = struct.pack(">I", total % 65521 << 16 | 1)
    return b"\x78\xda" + block * (total // len(piece)) + packer.flush() + checksum


def test_a_tiff_that_claims_more_strips_than_it_has_bytes_is_refused(tmp_path):
    path = tmp_path / "rows.tif"
    tifffile.imwrite(path, specimen(96, 64), rowsperstrip=48, compression="zlib")
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages.first.tags["ImageLength"].overwrite(2**32 - 1)
    assert "claims 89,478,486 strips" in sentence(path)


@pytest.mark.parametrize("compression", [8, 5, 34925, 7])
def test_a_tiff_that_claims_gigabytes_in_kilobytes_is_refused(tmp_path, compression):
    path = tmp_path / "claim.tif"
    one_strip(path, rows=60_000, cols=60_000, packed=bytes(4000), compression=compression)
    assert "claims 3.4 GB of pixels" in sentence(path)


@pytest.mark.parametrize(("codec", "compression"), [("zlib", 8), ("lzma", 34925)])
def test_a_strip_that_unpacks_to_far_more_than_its_rows_is_refused(tmp_path, codec, compression):
    path = tmp_path / "bomb.tif"
    packed = packed_zeros(codec, 2**29)
    one_strip(path, rows=1000, cols=1000, packed=packed, compression=compression)
    assert "unpacks to more than the image it claims to be" in sentence(path)


def test_a_png_that_claims_gigabytes_is_refused(tmp_path):
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    path = tmp_path / "b.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0" * 10))
    )
    assert "claims 3.4 GB of pixels" in sentence(path)


def test_a_panorama_larger_than_pillows_own_limit_opens(tmp_path, monkeypatch):
    picture = np.tile(specimen(500, 500), (3, 3))
    Image.fromarray(picture).save(tmp_path / "p.png", compress_level=1)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(tmp_path / "p.png")
    assert open_image(tmp_path / "p.png").shape == picture.shape


def test_more_than_the_memory_holds_is_refused(tmp_path, monkeypatch):
    from napari_sem_classify.core.sem_io import memory_budget

    monkeypatch.setattr(memory_budget, "available_memory", lambda: 2**30)
    with pytest.raises(ImageError, match=r"would take 0.6 GB|would take 600 MB of memory"):
        check_decoded_size(tmp_path / "x.tif", 600 * 2**20, 300 * 2**20)
    check_decoded_size(tmp_path / "x.tif", 250 * 2**20, 200 * 2**20)


@pytest.mark.parametrize("codec", ["zlib", "lzma"])
def test_unpacking_is_counted_piece_by_piece(codec):
    packed = packed_zeros(codec, 2**25)
    assert inflates_beyond(packed, codec, 2**25 - 1)
    assert not inflates_beyond(packed, codec, 2**25)
    assert not inflates_beyond(b"\xff" * 100, codec, 10)
