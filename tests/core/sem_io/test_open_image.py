"""Opening files of every kind: what they hold is read right, and only when it is asked for."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image
from sem_pictures import panel, specimen, with_bar

from napari_sem_classify.cli import inspect_commands
from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.sem_image import luminance
from napari_sem_classify.core.sem_io import (
    nearest_level,
    open_for_scale,
    open_image,
    open_with_levels,
    pixel_size_from_scale_bar,
    raster,
)

ROWS, COLS = 180, 200
WINDOW = Area(17, 93, 21, 150)


def cut(picture, window=WINDOW):
    return picture[..., window.top : window.bottom, window.left : window.right]


def check(image, picture):
    assert image.shape == picture.shape
    assert image.dtype.isnative
    np.testing.assert_array_equal(image.read(WINDOW), cut(picture))


@pytest.mark.parametrize(
    "dtype", ["u1", "u2", "i2", "i4", "u4", "i8", "f2", "f4", "f8", ">u2", ">f4", "bool"]
)
def test_tiff_of_every_number_type(tmp_path, dtype):
    native = np.dtype(dtype).newbyteorder("=")
    picture = specimen(ROWS, COLS) > 120 if dtype == "bool" else specimen(ROWS, COLS).astype(native)
    tifffile.imwrite(tmp_path / "a.tif", picture, byteorder=">" if dtype[0] == ">" else "<")
    image = open_image(tmp_path / "a.tif")
    check(image, picture)
    assert image.dtype == native


def test_uncompressed_strips_are_mapped(tmp_path):
    picture = specimen(ROWS, COLS, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", picture, rowsperstrip=7)
    image = open_image(tmp_path / "a.tif")
    assert isinstance(image.data, np.memmap)
    check(image, picture)


@pytest.mark.parametrize("compression", ["zlib", "lzma"])
@pytest.mark.parametrize("predictor", [False, True])
def test_compressed_strips(tmp_path, compression, predictor):
    picture = specimen(ROWS, COLS, dtype=np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif", picture, compression=compression, rowsperstrip=16, predictor=predictor
    )
    check(open_image(tmp_path / "a.tif"), picture)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("codec", ["tiff_lzw", "packbits"])
def test_lzw_and_packbits_tiff_open_without_the_codec_package(
    tmp_path, without_codecs, dtype, codec
):
    picture = specimen(ROWS, COLS, dtype=dtype)
    Image.fromarray(picture).save(tmp_path / "a.tif", compression=codec)
    check(open_image(tmp_path / "a.tif"), picture)


def test_jpeg_tiff_opens_without_the_codec_package(tmp_path, without_codecs):
    picture = specimen(ROWS, COLS)
    Image.fromarray(picture).save(tmp_path / "a.tif", compression="jpeg")
    image = open_image(tmp_path / "a.tif")
    assert np.abs(image.read(WINDOW).astype(int) - cut(picture)).mean() < 12


def test_a_codec_that_nothing_here_decodes_is_named(tmp_path, without_codecs):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, specimen(ROWS, COLS), compression="zlib")
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages[0].tags["Compression"].overwrite(34712)  # JPEG 2000
    with pytest.raises(ImageError, match=r"compressed with JPEG2000.* imagecodecs"):
        open_image(path)
    with pytest.raises(ImageError, match=r"pip install 'napari-sem-classify\[codecs\]'"):
        open_image(path)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiled_tiff_decodes_only_the_tiles_it_needs(tmp_path, compression):
    picture = specimen(600, 700)
    path = tmp_path / "t.tif"
    tifffile.imwrite(path, picture, tile=(64, 128), compression=compression)
    image = open_image(path)
    assert image.chunks == (64, 128)
    np.testing.assert_array_equal(image.read(WINDOW), cut(picture))
    # A file with one spoilt tile in its middle still gives every window that does not touch it.
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        middle = 4 * 6 + 3
        offset, count = page.dataoffsets[middle], page.databytecounts[middle]
    content = bytearray(path.read_bytes())
    content[offset : offset + count] = b"\x07" * count
    (tmp_path / "spoilt.tif").write_bytes(bytes(content))
    if compression == "zlib":
        spoilt = open_image(tmp_path / "spoilt.tif")
        np.testing.assert_array_equal(spoilt.read(WINDOW), cut(picture))
        with pytest.raises(ImageError, match="damaged"):
            spoilt.read(spoilt.area)


def test_stack_of_pages_becomes_a_leading_axis(tmp_path):
    planes = np.stack([specimen(ROWS, COLS, seed) for seed in range(4)])
    for name, keywords in {
        "contiguous": {},
        "compressed": {"compression": "zlib"},
        "tiled": {"tile": (64, 64), "compression": "zlib"},
    }.items():
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, planes, photometric="minisblack", **keywords)
        image = open_image(path)
        assert image.leading_shape == (4,)
        for plane in image.planes():
            np.testing.assert_array_equal(image.read(WINDOW, plane), cut(planes[plane]))


def test_pages_written_one_by_one_are_one_stack(tmp_path):
    planes = [specimen(ROWS, COLS, seed) for seed in range(3)]
    with tifffile.TiffWriter(tmp_path / "p.tif") as writer:
        for plane in planes:
            writer.write(plane, contiguous=False, metadata=None)
    image = open_image(tmp_path / "p.tif")
    assert image.leading_shape == (3,)
    np.testing.assert_array_equal(image.read(WINDOW, (2,)), cut(planes[2]))


def test_imagej_hyperstack_keeps_both_leading_axes(tmp_path):
    planes = np.stack(
        [np.stack([specimen(ROWS, COLS, 3 * t + z) for z in range(3)]) for t in range(2)]
    )
    tifffile.imwrite(tmp_path / "h.tif", planes, imagej=True, metadata={"axes": "TZYX"})
    image = open_image(tmp_path / "h.tif")
    assert image.leading_shape == (2, 3)
    np.testing.assert_array_equal(image.read(WINDOW, (1, 2)), cut(planes[1, 2]))


@pytest.mark.parametrize("suffix", ["tif", "png", "bmp"])
def test_rgb_that_is_grey_is_grey(tmp_path, suffix):
    picture = specimen(ROWS, COLS)
    path = tmp_path / f"g.{suffix}"
    rgb = np.stack([picture] * 3, axis=-1)
    if suffix == "tif":
        tifffile.imwrite(path, rgb)
    else:
        Image.fromarray(rgb).save(path)
    image = open_image(path)
    assert image.colour == "grey"
    check(image, picture)


def test_grey_jpeg_in_three_channels_with_a_coloured_logo_on_its_bar_is_grey(shared_data):
    path = next((shared_data / "ncm_cathode" / "811").glob("*.jpg"))
    image = open_image(path)
    stored = np.asarray(Image.open(path))
    assert np.ptp(stored[896:].astype(int), axis=-1).max() > 50
    assert image.colour == "grey"
    np.testing.assert_array_equal(image.read(image.area), stored[:896, :, 0])


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("tiled", [False, True])
def test_real_colour_goes_through_luminance(tmp_path, planar, tiled):
    channels = [specimen(ROWS, COLS, seed) for seed in range(3)]
    colour = np.stack(channels, axis=-1)
    stored = np.stack(channels) if planar == "separate" else colour
    tifffile.imwrite(
        tmp_path / "c.tif",
        stored,
        photometric="rgb",
        planarconfig=planar,
        tile=(64, 64) if tiled else None,
        compression="zlib" if tiled else None,
    )
    image = open_image(tmp_path / "c.tif")
    assert image.colour == "colour"
    assert image.shape == (ROWS, COLS)
    expected = luminance(colour[WINDOW.top : WINDOW.bottom, WINDOW.left : WINDOW.right])
    np.testing.assert_array_equal(image.read(WINDOW), expected)


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P", "1"])
def test_png_of_other_modes(tmp_path, mode):
    picture = specimen(ROWS, COLS)
    Image.fromarray(picture).convert("RGB" if mode == "P" else "L").convert(mode).save(
        tmp_path / "m.png"
    )
    image = open_image(tmp_path / "m.png")
    assert image.shape == (ROWS, COLS)
    if mode in ("LA", "RGBA"):
        check(image, picture)


def test_sixteen_bit_png(tmp_path):
    picture = specimen(ROWS, COLS, dtype=np.uint16)
    Image.fromarray(picture).save(tmp_path / "a.png")
    check(open_image(tmp_path / "a.png"), picture)


def test_white_is_zero_files_are_turned_over(tmp_path):
    picture = specimen(ROWS, COLS)
    tifffile.imwrite(tmp_path / "w.tif", 255 - picture, photometric="miniswhite")
    check(open_image(tmp_path / "w.tif"), picture)


def test_colour_table_of_colours_is_colour_and_a_grey_ramp_is_grey(tmp_path):
    picture = specimen(ROWS, COLS)
    ramp = np.stack([np.arange(256, dtype=np.uint16) * 257] * 3)
    tifffile.imwrite(tmp_path / "g.tif", picture, photometric="palette", colormap=ramp)
    check(open_image(tmp_path / "g.tif"), picture)
    tinted = ramp.copy()
    tinted[2] = tinted[2][::-1]
    tifffile.imwrite(tmp_path / "c.tif", picture, photometric="palette", colormap=tinted)
    image = open_image(tmp_path / "c.tif")
    assert image.colour == "colour"
    shown = np.stack([picture, picture, 255 - picture], axis=-1)
    expected = luminance(shown[WINDOW.top : WINDOW.bottom, WINDOW.left : WINDOW.right])
    np.testing.assert_array_equal(image.read(WINDOW), expected)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_plain_zarr(tmp_path, zarr_format):
    picture = specimen(ROWS, COLS, dtype=np.uint16)
    array = zarr.create_array(
        str(tmp_path / "a.zarr"),
        shape=picture.shape,
        dtype=picture.dtype,
        chunks=(50, 64),
        zarr_format=zarr_format,
    )
    array[:] = picture
    image = open_image(tmp_path / "a.zarr")
    assert image.chunks == (50, 64)
    check(image, picture)


def ome_zarr(path, version, *, unit="micrometer"):
    levels = [specimen(256, 320)]
    levels += [levels[0][::2, ::2], levels[0][::4, ::4]]
    group = zarr.open_group(str(path), mode="w", zarr_format=2 if version == "0.4" else 3)
    datasets = []
    for index, level in enumerate(levels):
        stored = group.create_array(
            str(index), shape=(1, *level.shape), dtype=level.dtype, chunks=(1, 64, 64)
        )
        stored[0] = level
        scale = [1.0, 0.05 * 2**index, 0.05 * 2**index]
        datasets.append(
            {
                "path": str(index),
                "coordinateTransformations": [{"type": "scale", "scale": scale}],
            }
        )
    axes = [{"name": "z", "type": "space"}]
    axes += [{"name": n, "type": "space"} | ({"unit": unit} if unit else {}) for n in "yx"]
    multiscales = [{"version": version, "axes": axes, "datasets": datasets}]
    if version == "0.4":
        group.attrs["multiscales"] = multiscales
    else:
        group.attrs["ome"] = {"version": version, "multiscales": multiscales}
    return levels


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_knows_its_levels_and_their_pixel_sizes(tmp_path, version):
    path = tmp_path / "o.ome.zarr"
    levels = ome_zarr(path, version)
    known = open_with_levels(path)[1]
    assert [level.shape for level in known] == [one.shape for one in levels]
    assert [level.pixel_size_nm for level in known] == pytest.approx([50.0, 100.0, 200.0])
    for index, expected in enumerate(levels):
        image = open_image(path, level=index)
        assert image.name == "o"
        assert image.pixel_size_nm == pytest.approx(50.0 * 2**index)
        assert image.pixel_size_source == "OME-Zarr metadata"
        assert image.leading_shape == (1,)
        window = Area(3, 40, 5, 60)
        np.testing.assert_array_equal(image.read(window, (0,)), cut(expected, window))


def test_ome_zarr_without_units_is_not_calibrated(tmp_path):
    ome_zarr(tmp_path / "o.zarr", "0.5", unit=None)
    assert open_image(tmp_path / "o.zarr").pixel_size_nm is None


@pytest.mark.parametrize(
    ("wanted", "level"), [(10, 0), (50, 0), (97, 0), (100, 1), (150, 1), (200, 2), (5000, 2)]
)
def test_the_level_nearest_to_a_models_scale_is_never_coarser_than_it(tmp_path, wanted, level):
    path = tmp_path / "o.zarr"
    ome_zarr(path, "0.4")
    assert nearest_level(open_with_levels(path)[1], wanted) == level


def test_levels_of_an_ome_tiff_pyramid(tmp_path):
    picture = specimen(512, 640)
    path = tmp_path / "p.ome.tif"
    options = {"tile": (64, 64), "compression": "zlib"}
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(
            picture,
            subifds=1,
            metadata={
                "axes": "YX",
                "PhysicalSizeX": 0.01,
                "PhysicalSizeY": 0.01,
            },
            **options,
        )
        writer.write(picture[::2, ::2], subfiletype=1, **options)
    sizes = [level.pixel_size_nm for level in open_with_levels(path)[1]]
    assert sizes == pytest.approx([10.0, 20.0])
    coarse = open_image(path, level=1)
    assert coarse.pixel_size_nm == pytest.approx(20.0)
    np.testing.assert_array_equal(coarse.read(WINDOW), cut(picture[::2, ::2]))


def test_a_picture_is_decoded_once_for_all_that_is_told_of_it(tmp_path, monkeypatch, capsys):
    path = tmp_path / "p.png"
    Image.fromarray(specimen(ROWS, COLS)).save(path)
    decoded = []
    decode = raster._pixels
    monkeypatch.setattr(raster, "_pixels", lambda *given: decoded.append(1) or decode(*given))
    open_for_scale(path, 12.0)
    assert len(decoded) == 1
    inspect_commands.info(path)
    assert len(decoded) == 2
    assert "180 × 200 px" in capsys.readouterr().out


def test_a_level_that_is_not_there_is_one_sentence(tmp_path):
    ome_zarr(tmp_path / "o.zarr", "0.4")
    tifffile.imwrite(tmp_path / "a.tif", specimen(ROWS, COLS))
    Image.fromarray(specimen(ROWS, COLS)).save(tmp_path / "a.png")
    for name in ("o.zarr", "a.tif", "a.png"):
        with pytest.raises(ImageError, match="level 7 is none"):
            open_image(tmp_path / name, level=7)


def test_the_largest_image_of_a_file_is_taken_not_its_thumbnail(tmp_path):
    picture = specimen(ROWS, COLS)
    with tifffile.TiffWriter(tmp_path / "t.tif") as writer:
        writer.write(picture[::4, ::4], metadata=None)
        writer.write(picture, metadata=None)
    check(open_image(tmp_path / "t.tif"), picture)


def test_a_bar_in_a_lazily_read_file_is_found(tmp_path):
    picture = with_bar(specimen(400, 512), panel(40, 512))
    tifffile.imwrite(tmp_path / "b.tif", picture, tile=(64, 64), compression="zlib")
    image = open_image(tmp_path / "b.tif")
    assert image.area.as_list() == [0, 400, 0, 512]
    assert image.specimen.source == "pixels"
    assert image.specimen.reason == "40 rows at the bottom, found in the picture"


def test_a_line_along_the_scale_bar_gives_the_pixel_size():
    assert pixel_size_from_scale_bar((10, 20), (10, 220), 10.0) == pytest.approx(50.0)
    assert pixel_size_from_scale_bar((0, 0), (30, 40), 0.5) == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("end", "length"), [((0, 0), 1.0), ((0, 1), 1.0), ((0, 9), 0.0), ((0, 9), float("nan"))]
)
def test_a_line_without_length_is_one_sentence(end, length):
    with pytest.raises(ImageError, match=r"scale bar"):
        pixel_size_from_scale_bar((0, 0), end, length)
