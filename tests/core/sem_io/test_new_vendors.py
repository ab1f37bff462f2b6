"""Programs and cameras that write a pixel size in a way of their own."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import tifffile
from sem_pictures import specimen

from napari_sem_classify.core.sem_io import open_image
from napari_sem_classify.core.sem_io.source import decode
from napari_sem_classify.core.sem_io.vendors.values import (
    in_one_locale,
    length_nm,
    length_text_nm,
    number,
)

ASCII, DOUBLE, UNDEFINED = 2, 12, 7


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("24,80469", 24.80469),
        ("24,8", 24.8),
        ("0,123", 0.123),
        ("1,234.5", 1234.5),
        ("1.234,5", 1234.5),
        ("1 234,5", 1234.5),
        ("1'234.5", 1234.5),
        ("1,234,567", 1234567.0),
        ("4,2e-009", 4.2e-9),
        ("4.2E-09 m", 4.2e-9),
        ("15.0 kV", 15.0),
        ("8100 um", 8100.0),
        (".5", 0.5),
        ("-10000", -10000.0),
        ("1,234", None),
        ("1.2.3", None),
        ("1,2,3", None),
        ("2024/01/02", None),
        ("10:20", None),
        ("12 34", None),
        ("1280 x 960", None),
        ("0x1F", None),
        ("abc", None),
        ("", None),
        ("1e999", None),
    ],
)
def test_a_number_is_read_wholly_or_not_at_all(written, expected):
    assert number(written) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    "written",
    [
        "1.5 µm",
        "1.5 μm",
        "1,5um",
        "1500 nm",
        "0.0015 mm",
        "1.5 micron",
        "1.5 microns",
        "15000 Å",
        "1.5 ｕｍ",
        "1.5 µm/px",
        "1.5 um per pixel",
        "1.5 Âµm",
        "1.5E-6 m",
        "1.5 micrometers",
    ],
)
def test_lengths_in_every_spelling(written):
    assert length_text_nm(written) == pytest.approx(1500.0)


def test_a_number_that_can_be_read_in_two_ways_follows_the_others_of_its_file():
    comma = in_one_locale({"a": "1,234 nm", "b": "5,25"})
    point = in_one_locale({"a": "1,234 nm", "b": "5.25"})
    assert length_text_nm(comma["a"]) == pytest.approx(1.234)
    assert length_text_nm(point["a"]) == pytest.approx(1234.0)
    assert number(in_one_locale({"a": "1,234", "b": "5,25", "c": "7.5"})["a"]) is None
    assert length_nm("1,234", "nm") is None


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "cp1252", "shift_jis", "utf-16", "utf-16-le", "utf-16-be"]
)
def test_texts_of_every_encoding(encoding):
    mu = "μ" if encoding == "shift_jis" else "µ"
    told = "試料 " if encoding in ("shift_jis", "utf-8") else "Größe "
    text = f"[SemImageFile]\r\nSampleName={told}\r\nWorkingDistance=8,1 {mu}m\r\n"
    found = decode(text.encode(encoding))
    assert told in found
    assert length_text_nm(found.split("WorkingDistance=")[1].strip()) == pytest.approx(8100.0)


def hitachi(tmp_path, **values):
    lines = {"DataSize": "200x180", "PixelSize": "24.8", "AcceleratingVoltage": "5000 Volt"}
    text = "".join(f"{name}={value}\r\n" for name, value in (lines | values).items())
    (tmp_path / "h.txt").write_text("[SemImageFile]\r\n" + text, encoding="cp1252")
    return tmp_path / "h.tif"


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((180, 200), 24.8),
        ((90, 100), 49.6),
        ((45, 50), 99.2),
        ((360, 400), 12.4),
        ((60, 67), 24.8 * 200 / 67),
        ((160, 200), 24.8),  # the bar cut off
        ((90, 200), None),
        ((180, 100), None),
        ((100, 100), None),
        ((150, 120), None),
    ],
)
def test_a_picture_of_another_size_is_scaled_or_not_calibrated(tmp_path, shape, expected):
    tifffile.imwrite(hitachi(tmp_path), specimen(*shape))
    image = open_image(tmp_path / "h.tif")
    if expected is None:
        assert image.pixel_size_nm is None
        assert "speak of 200 × 180 px" in image.metadata["note"]
    else:
        assert image.pixel_size_nm == pytest.approx(expected)


def test_a_pixel_size_that_cannot_be_read_says_so(tmp_path):
    tifffile.imwrite(hitachi(tmp_path, PixelSize="24.8.1"), specimen(180, 200))
    image = open_image(tmp_path / "h.tif")
    assert image.pixel_size_nm is None
    assert "24.8.1" in image.metadata["note"]


def zeiss(path, shape, *entries):
    lines = ["0", "0", "0", "1e-08", "500", "6"]
    for key, text in entries:
        lines += [key, text]
    tag = (34118, ASCII, 0, ("\r\n".join(lines) + "\r\n").encode("cp1252"), True)
    tifffile.imwrite(path, specimen(*shape), extratags=[tag], metadata=None)
    return open_image(path)


STORED = ("DP_IMAGE_STORE", "Store resolution = 200 * 180")


@pytest.mark.parametrize("written", ["24.65 nm", "24,65 nm", "0,02465 µm", "24650 pm"])
def test_zeiss_in_every_way_of_writing_and_resized(tmp_path, written):
    size = ("AP_IMAGE_PIXEL_SIZE", f"Image Pixel Size = {written}")
    assert zeiss(tmp_path / "a.tif", (180, 200), STORED, size).pixel_size_nm == pytest.approx(24.65)
    assert zeiss(tmp_path / "b.tif", (90, 100), STORED, size).pixel_size_nm == pytest.approx(49.3)
    cut = zeiss(tmp_path / "c.tif", (90, 120), STORED, size)
    assert cut.pixel_size_nm is None
    assert "not known" in cut.metadata["note"]


def test_zeiss_that_tells_its_field_alone(tmp_path):
    size = ("AP_IMAGE_PIXEL_SIZE", "Image Pixel Size = 24.65 nm")
    field = (("AP_WIDTH", "Width = 4.93 µm"), ("AP_HEIGHT", "Height = 4.44 µm"))
    for shape, expected in (((180, 200), 24.65), ((90, 100), 49.3), ((90, 120), None)):
        image = zeiss(tmp_path / "f.tif", shape, size, *field)
        wanted = None if expected is None else pytest.approx(expected)
        assert image.pixel_size_nm == wanted


def test_fei_with_decimal_commas_and_cameras_that_tell_their_field_alone(tmp_path):
    ini = "[Scan]\r\nPixelWidth=4,2e-009\r\nPixelHeight=4,2e-009\r\n[Image]\r\nResolutionX=200\r\n"
    camera = "[Scan]\r\nPixelWidth=\r\nHorFieldsize=\r\n[NavCam]\r\nHorFieldsize=0.1\r\n"
    for name, text, expected in (("a", ini, 4.2), ("n", camera, 0.1e9 / 200)):
        tag = (34682, ASCII, 0, text, True)
        tifffile.imwrite(
            tmp_path / f"{name}.tif", specimen(180, 200), extratags=[tag], metadata=None
        )
        assert open_image(tmp_path / f"{name}.tif").pixel_size_nm == pytest.approx(expected)


def test_tescan_resized_is_known_by_its_magnification(tmp_path):
    magnified = "Magnification=80000.0\r\nMagnificationReference=0.32\r\n"
    header = f"[MAIN]\r\n{magnified}PixelSizeX=0.00000002\r\n"
    (tmp_path / "t.hdr").write_text(header)
    tifffile.imwrite(tmp_path / "t.tif", specimen(180, 200))
    assert open_image(tmp_path / "t.tif").pixel_size_nm == pytest.approx(20.0)
    tifffile.imwrite(tmp_path / "t.tif", specimen(90, 100))
    assert open_image(tmp_path / "t.tif").pixel_size_nm is None


@pytest.mark.parametrize(
    ("instrument", "expected"), [("JSM-7800F", 120e6 / 650 / 200), ("JSM-IT500", None), ("", None)]
)
def test_jeol_without_a_micron_bar_by_its_magnification(tmp_path, instrument, expected):
    text = f"$CM_INSTRUMENT {instrument}\r\n$CM_MAG 650\r\n$CM_FULL_SIZE 200 180\r\n"
    (tmp_path / "j.txt").write_text(text)
    tifffile.imwrite(tmp_path / "j.tif", specimen(180, 200))
    image = open_image(tmp_path / "j.tif")
    if expected is None:
        assert image.pixel_size_nm is None
    else:
        assert image.pixel_size_nm == pytest.approx(expected)
        assert "650 × on a picture 120 mm wide" in image.pixel_size_source


@pytest.mark.parametrize(("unit", "scale"), [("nm", 12.5), ("µm", 0.0125)])
def test_digital_micrographs_tiff(tmp_path, unit, scale):
    text = unit.encode("cp1252")
    tags = [(code, ASCII, 0, text, True) for code in (65003, 65004)]
    tags += [(code, DOUBLE, 1, scale, True) for code in (65009, 65010)]
    tifffile.imwrite(tmp_path / "g.tif", specimen(96, 128), extratags=tags, metadata=None)
    image = open_image(tmp_path / "g.tif")
    assert (image.vendor, image.pixel_size_nm) == ("Gatan", pytest.approx(12.5))


@pytest.mark.parametrize("flat", [False, True])
def test_openfibsem(tmp_path, flat):
    settings = {"resolution": [128, 96], "hfw": 1.28e-6, "beam_type": "ELECTRON"}
    metadata = {"pixel_size": {"x": 1e-8, "y": 1e-8}} | (settings if flat else {"image": settings})
    tifffile.imwrite(tmp_path / "o.tif", specimen(96, 128), metadata=metadata)
    image = open_image(tmp_path / "o.tif")
    assert (image.vendor, image.pixel_size_nm) == ("OpenFIBSEM", pytest.approx(10.0))


def sis(offset, exponent, x, y):
    """The tag of Soft Imaging: a header, one entry, and the block it points to."""
    head = struct.pack("<4s6xhhhhh6x32sH", b"SIS0", 1, 2, 3, 4, 120, b"n", 1)
    entry = struct.pack("<hhI", 1, 1, offset + len(head) + 8)
    block = struct.pack("<10xhdd8xd2x34s32s", exponent, x, y, 100.0, b"cam", b"pic")
    return head + entry + block


def test_olympus_takes_the_calibrated_page(tmp_path):
    path = tmp_path / "s.tif"
    preview = np.zeros((120, 160, 3), np.uint8)
    picture = specimen(96, 128)
    blank = sis(0, -6, 1.0, 1.0)
    with tifffile.TiffWriter(path) as writer:
        writer.write(preview, photometric="rgb", metadata=None)
        tag = (33560, UNDEFINED, len(blank), blank, True)
        writer.write(picture, extratags=[tag], metadata=None)
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[1].tags[33560].valueoffset
    content = bytearray(path.read_bytes())
    content[offset : offset + len(blank)] = sis(offset, -6, 0.02, 0.02)
    path.write_bytes(bytes(content))
    image = open_image(path)
    assert image.shape == (96, 128)
    assert (image.vendor, image.pixel_size_nm) == ("Olympus", pytest.approx(20.0))


def test_mpp_of_slide_scanners(tmp_path):
    text = "Aperio Image Library v12\r\n96x128 |AppMag = 40|MPP = 0.2528|Filtered = 3"
    tifffile.imwrite(tmp_path / "a.tif", specimen(96, 128), description=text, metadata=None)
    image = open_image(tmp_path / "a.tif")
    assert (image.vendor, image.pixel_size_nm) == ("Aperio", pytest.approx(252.8))


def test_a_coarse_level_of_a_pyramid_keeps_its_calibration(tmp_path):
    picture = specimen(256, 256)
    size = "\r\n".join(
        ["0"] * 6
        + ["AP_IMAGE_PIXEL_SIZE", "Image Pixel Size = 10 nm"]
        + ["DP_IMAGE_STORE", "Store resolution = 256 * 256"]
    )
    tag = (34118, ASCII, 0, (size + "\r\n").encode(), True)
    with tifffile.TiffWriter(tmp_path / "p.tif") as writer:
        writer.write(picture, tile=(64, 64), subifds=1, extratags=[tag], metadata=None)
        writer.write(picture[::2, ::2], tile=(64, 64), subfiletype=1, metadata=None)
    assert open_image(tmp_path / "p.tif").pixel_size_nm == pytest.approx(10.0)
    assert open_image(tmp_path / "p.tif", 1).pixel_size_nm == pytest.approx(20.0)
