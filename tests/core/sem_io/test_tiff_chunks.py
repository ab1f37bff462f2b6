"""Regions of tiled and striped TIFFs, read piece by piece, are those of the whole image."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.sem_io import open_image
from napari_sem_classify.core.sem_io.tiff_chunks import TiffChunks

tifffile = pytest.importorskip("tifffile")
RNG = np.random.default_rng(0)

GREY = {"tile": (64, 48), "compression": "zlib"}
LAYOUTS = {
    "tiles": (np.uint8, (150, 130), {"tile": (64, 48)}),
    "big endian": (np.uint16, (150, 130), {**GREY, "byteorder": ">"}),
    "predictor": (np.uint16, (150, 130), {**GREY, "predictor": 2}),
    "predictor of floats": (np.float32, (150, 130), {**GREY, "predictor": 3}),
    "bigtiff": (np.int16, (150, 130), {**GREY, "bigtiff": True}),
    "strips": (np.uint8, (150, 130), {"rowsperstrip": 64, "compression": "zlib"}),
    "colour": (np.uint8, (150, 130, 3), {**GREY, "photometric": "rgb"}),
    "planes of colour": (
        np.uint8,
        (3, 150, 130),
        {**GREY, "photometric": "rgb", "planarconfig": "separate"},
    ),
    "a stack": (np.uint8, (3, 150, 130), {**GREY, "photometric": "minisblack"}),
    "a stack of stacks": (np.uint8, (2, 3, 70, 60), {**GREY, "photometric": "minisblack"}),
    "tiles of a volume": (
        np.uint8,
        (20, 70, 60),
        {"tile": (16, 32, 32), "photometric": "minisblack", "volumetric": True},
    ),
}
CODECS = ("lzw", "zstd", "jpeg", "packbits", "lzma", "jpegxl", "webp")


def pixels(dtype, shape):
    if np.dtype(dtype).kind == "f":
        return RNG.standard_normal(shape).astype(dtype)
    return RNG.integers(0, 200, shape).astype(dtype)


def keys(shape, count=12):
    """Single indices, slices with and without steps, backwards too, and empty ones."""
    yield ...
    for _ in range(count):
        parts = []
        for length in shape:
            first, last = RNG.integers(-length, length, 2).tolist()
            step = int(RNG.choice([1, 1, 1, 2, 7, -1, -3, 60]))
            choices = [slice(first, last, step), slice(None, None, step), first]
            parts.append(choices[RNG.integers(0, 3)])
        yield tuple(parts)


def same_as_whole(path, level=0):
    with tifffile.TiffFile(path) as tiff:
        whole = tiff.series[0].levels[level].asarray()
    chunks = TiffChunks(path, 0, level)
    assert chunks.shape == whole.shape
    assert chunks.dtype == whole.dtype.newbyteorder("=")
    for key in keys(whole.shape):
        assert np.array_equal(chunks[key], whole[key]), key


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_region_is_that_of_the_whole(tmp_path, name):
    dtype, shape, how = LAYOUTS[name]
    tifffile.imwrite(tmp_path / "a.tif", pixels(dtype, shape), **how)
    same_as_whole(tmp_path / "a.tif")


@pytest.mark.parametrize("codec", CODECS)
def test_a_region_is_that_of_the_whole_in_every_codec(tmp_path, codec):
    pytest.importorskip("imagecodecs", reason="needs the extra 'codecs'")
    colour = codec == "webp"
    shape = (150, 130, 3) if colour else (150, 130)
    how = {"photometric": "rgb" if colour else "minisblack", "tile": (64, 48)}
    tifffile.imwrite(tmp_path / "a.tif", pixels(np.uint8, shape), compression=codec, **how)
    same_as_whole(tmp_path / "a.tif")


def test_a_stack_of_imagej_with_one_directory_is_read_plane_by_plane(tmp_path):
    stack = pixels(np.uint16, (3, 70, 60))
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True)
    chunks = TiffChunks(tmp_path / "a.tif", 0, 0)
    assert np.array_equal(chunks[1:, 5:60], stack[1:, 5:60])


def test_levels_of_a_pyramid_are_read(tmp_path):
    path, image = tmp_path / "a.tif", pixels(np.uint8, (256, 192))
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(image, tile=(64, 64), subifds=1)
        tiff.write(image[::2, ::2], tile=(64, 64), subfiletype=1)
    for level in (0, 1):
        same_as_whole(path, level)


def test_tiles_that_the_file_leaves_out_are_blank(tmp_path):
    path, image = tmp_path / "a.tif", pixels(np.uint8, (128, 128))
    tifffile.imwrite(path, image, tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for name in ("TileOffsets", "TileByteCounts"):
            tag = tiff.pages[0].tags[name]
            tag.overwrite((*tag.value[:2], 0, tag.value[3]))
    image[64:, :64] = 0
    assert np.array_equal(TiffChunks(path, 0, 0)[...], image)


def test_planes_in_several_files_are_found(tmp_path):
    stack = pixels(np.uint8, (2, 70, 60))
    names = ["a.ome.tif", "b.ome.tif"]
    planes = "".join(
        f'<TiffData IFD="0" FirstZ="{z}" PlaneCount="1">'
        f'<UUID FileName="{name}">urn:uuid:0000000{z}-0000-0000-0000-000000000000</UUID></TiffData>'
        for z, name in enumerate(names)
    )
    for z, name in enumerate(names):
        ome = (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:0000000{z}-0000-0000-0000-000000000000"><Image ID="Image:0">'
            '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="60" SizeY="70" '
            'SizeZ="2" SizeC="1" SizeT="1"><Channel ID="C:0" SamplesPerPixel="1"/>'
            f"{planes}</Pixels></Image></OME>"
        )
        tifffile.imwrite(
            tmp_path / name, stack[z], description=ome, metadata=None, tile=(32, 32), ome=False
        )
    chunks = TiffChunks(tmp_path / names[0], 0, 0)
    assert np.array_equal(chunks[...], stack)


def test_a_damaged_tile_is_told_with_its_place(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels(np.uint8, (600, 600)), tile=(256, 256), compression="zlib")
    image = open_image(path)
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[0].dataoffsets[4]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(200))
    with pytest.raises(ImageError, match=r"a\.tif cannot be read"):
        image.read(Area(0, 600, 0, 600))


def test_many_threads_may_read_at_once(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    path, image = tmp_path / "a.tif", pixels(np.uint8, (512, 512))
    tifffile.imwrite(path, image, tile=(64, 64), compression="zlib")
    chunks = TiffChunks(path, 0, 0)
    with ThreadPoolExecutor(4) as pool:
        for row, found in enumerate(pool.map(lambda row: chunks[row : row + 200], range(50))):
            assert np.array_equal(found, image[row : row + 200])
