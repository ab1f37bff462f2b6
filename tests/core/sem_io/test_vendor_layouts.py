"""Makers whose files are not at hand: written here with the layout of their real tags and texts."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from sem_pictures import panel, specimen, with_bar

from napari_sem_classify.core.sem_io import open_image

ASCII = 2
UNDEFINED = 7


def write(path, picture, *tags, **keywords):
    extra = [(code, ASCII, 0, value, True) for code, value in tags]
    tifffile.imwrite(path, picture, extratags=extra, metadata=None, **keywords)
    return path


def fei_ini(**changes):
    sections = {
        "User": {"Date": "01/02/2024", "Time": "10:00:00 AM"},
        "System": {"SystemType": "Helios G4"},
        "Beam": {"HV": "2000", "Beam": "EBeam"},
        "EBeam": {"HV": "2000", "WD": "0.0041"},
        "Scan": {"PixelWidth": "4.2e-009", "PixelHeight": "4.2e-009", "HorFieldsize": "8.4e-007"},
        "Image": {"ResolutionX": "200", "ResolutionY": "180"},
        "Detectors": {"Name": "TLD"},
    }
    for key, value in changes.items():
        section, _, name = key.partition("__")
        if value is None:
            del sections[section][name]
        else:
            sections[section][name] = value
    lines = []
    for section, values in sections.items():
        lines += [f"[{section}]", *(f"{k}={v}" for k, v in values.items()), ""]
    return "\r\n".join(lines)


def test_fei_sfeg_tag_of_older_instruments(tmp_path):
    picture = with_bar(specimen(180, 200), panel(20, 200))
    image = open_image(write(tmp_path / "old.tif", picture, (34680, fei_ini())))
    assert image.vendor == "FEI"
    assert image.pixel_size_nm == pytest.approx(4.2)
    assert image.area.bottom == 180
    assert image.specimen.reason == "20 rows at the bottom, from metadata (FEI)"
    assert image.metadata["accelerating_voltage_kV"] == 2.0


def test_fei_navigation_camera_takes_the_field_width(tmp_path):
    ini = fei_ini(Scan__PixelWidth="", Scan__PixelHeight="")
    image = open_image(write(tmp_path / "nav.tif", specimen(180, 200), (34682, ini)))
    assert image.pixel_size_nm == pytest.approx(8.4e-7 * 1e9 / 200)


def test_fei_crop_without_the_bar_loses_no_rows(tmp_path):
    ini = fei_ini(Image__ResolutionY="400") + "\r\n[PrivateFei]\r\nDatabarHeight=20\r\n"
    image = open_image(write(tmp_path / "crop.tif", specimen(180, 200), (34682, ini)))
    assert image.area.bottom == 180


def test_pixels_that_are_not_square_give_no_calibration_and_say_why(tmp_path):
    ini = fei_ini(Scan__PixelHeight="4.5e-009")
    image = open_image(write(tmp_path / "tilt.tif", specimen(180, 200), (34682, ini)))
    assert image.pixel_size_nm is None
    assert image.metadata["note"] == "pixels are not square (4.2 × 4.5 nm)"


def test_pixels_within_one_percent_of_square_are_square(tmp_path):
    ini = fei_ini(Scan__PixelHeight="4.23e-009")
    image = open_image(write(tmp_path / "tilt.tif", specimen(180, 200), (34682, ini)))
    assert image.pixel_size_nm == pytest.approx(4.2)


def test_fei_xml_alone(tmp_path):
    xml = (
        '<?xml version="1.0"?><Metadata xmlns:nil="http://schemas.fei.com/Metadata/v1/2013/07">'
        "<Instrument><InstrumentClass>Apreo</InstrumentClass></Instrument>"
        "<Optics><AccelerationVoltage>5000</AccelerationVoltage></Optics>"
        "<ScanSettings><ScanSize><Width>200</Width><Height>180</Height></ScanSize></ScanSettings>"
        '<BinaryResult><PixelSize><X unit="m" unitPrefixPower="1">2.5E-08</X>'
        '<Y unit="m" unitPrefixPower="1">2.5E-08</Y></PixelSize></BinaryResult></Metadata>'
    )
    picture = with_bar(specimen(180, 200), panel(16, 200))
    image = open_image(write(tmp_path / "x.tif", picture, (34683, xml)))
    assert (image.vendor, image.pixel_size_nm) == ("FEI", pytest.approx(25.0))
    assert image.area.bottom == 180
    assert image.metadata["instrument"] == "Apreo"


@pytest.mark.parametrize(("value", "unit"), [("12.5", "nm"), ("0.0125", "um")])
def test_phenom(tmp_path, value, unit):
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?><FeiImage><databarHeight>24</databarHeight>'
        f'<pixelWidth unit="{unit}">{value}</pixelWidth>'
        f'<pixelHeight unit="{unit}">{value}</pixelHeight>'
        '<workingDistance unit="mm">6.1</workingDistance>'
        "<instrument><type>Phenom XL</type></instrument>"
        "<acquisition><scan><detector>BSD</detector>"
        '<highVoltage unit="V">-10000</highVoltage></scan></acquisition></FeiImage>'
    )
    picture = with_bar(specimen(180, 200), panel(24, 200))
    image = open_image(write(tmp_path / "p.tif", picture, (34683, xml)))
    assert (image.vendor, image.pixel_size_nm) == ("Phenom", pytest.approx(12.5))
    assert image.area.bottom == 180
    assert image.metadata["accelerating_voltage_kV"] == 10.0
    assert image.metadata["working_distance_mm"] == pytest.approx(6.1)
    assert image.metadata["detector"] == "BSD"


def zeiss_text(*entries, unnamed="1.2e-08"):
    first = ["0", "0", "0", unnamed, "500", "6"]
    lines = [line for key, text in entries for line in (key, text)]
    return "\r\n".join([*first, *lines]) + "\r\n"


WD = ("AP_WD", "WD = 6.2 mm")


def zeiss(path, text, cols=2048):
    tag = (34118, ASCII, 0, text.encode("cp1252"), True)
    tifffile.imwrite(path, specimen(96, cols), extratags=[tag], metadata=None)
    return open_image(path)


@pytest.mark.parametrize(
    ("written", "expected"), [("12.33 nm", 12.33), ("543.0 pm", 0.543), ("1.5 µm", 1500.0)]
)
def test_zeiss_image_pixel_size_in_its_units(tmp_path, written, expected):
    text = zeiss_text(
        WD,
        ("AP_PIXEL_SIZE", "Pixel Size = 24.65 nm"),
        ("AP_IMAGE_PIXEL_SIZE", f"Image Pixel Size = {written}"),
    )
    image = zeiss(tmp_path / "z.tif", text)
    assert image.vendor == "Zeiss"
    assert image.pixel_size_nm == pytest.approx(expected)


def test_zeiss_without_the_image_key_uses_the_unnamed_value_and_the_width(tmp_path):
    text = zeiss_text(WD, ("AP_PIXEL_SIZE", "Pixel Size = 24.65 nm"), unnamed="2.466e-08")
    image = zeiss(tmp_path / "z.tif", text)
    assert image.pixel_size_nm == pytest.approx(12.33)
    assert image.metadata["working_distance_mm"] == pytest.approx(6.2)


TESCAN_HEADER = (
    "[MAIN]\r\nDevice=VEGA3\r\nDate=2024-01-01\r\nTime=10:11:12\r\nMagnification=1000.0\r\n"
    "PixelSizeX=0.000000020\r\nPixelSizeY=0.000000020\r\nImageStripSize=22\r\n\r\n"
    "[SEM]\r\nDetector=SE\r\nHV=20000.0\r\nWD=0.0102\r\n"
)


@pytest.mark.parametrize("header", ["a.hdr", "a-tif.hdr", "a.HDR"])
def test_tescan_header_beside_the_image_under_each_of_its_names(tmp_path, header):
    picture = with_bar(specimen(180, 200), panel(22, 200))
    tifffile.imwrite(tmp_path / "a.tif", picture)
    (tmp_path / header).write_text(TESCAN_HEADER, encoding="latin-1")
    image = open_image(tmp_path / "a.tif")
    assert (image.vendor, image.pixel_size_nm) == ("TESCAN", pytest.approx(20.0))
    assert image.area.bottom == 180
    assert image.metadata["accelerating_voltage_kV"] == 20.0
    assert image.metadata["working_distance_mm"] == pytest.approx(10.2)


def test_tescan_png_named_header(tmp_path):
    from PIL import Image

    Image.fromarray(specimen(180, 200)).save(tmp_path / "a.png")
    (tmp_path / "a-png.hdr").write_text(TESCAN_HEADER.replace("22", "0"), encoding="latin-1")
    image = open_image(tmp_path / "a.png")
    assert image.pixel_size_nm == pytest.approx(20.0)
    assert image.area.bottom == 180


def test_tescan_tag_with_its_thumbnail_before_the_text(tmp_path):
    tag = b"\xff\xd8\x00\x99junk\x00\x02\x00" + TESCAN_HEADER.replace("\r\n", "\n").encode()
    picture = with_bar(specimen(180, 200), panel(22, 200))
    tifffile.imwrite(
        tmp_path / "t.tif", picture, extratags=[(50431, UNDEFINED, len(tag), tag, True)]
    )
    image = open_image(tmp_path / "t.tif")
    assert (image.vendor, image.pixel_size_nm) == ("TESCAN", pytest.approx(20.0))
    assert image.area.bottom == 180


JEOL_TEXT = (
    "$CM_FORMAT JEOL/EM\r\n$CM_INSTRUMENT JSM-7001F\r\n$CM_DATE 2024/01/02\r\n"
    "$CM_TIME 03:04:05\r\n$CM_ACCEL_VOLT 15.00\r\n$CM_MAG 5000\r\n$CM_SIGNAL_NAME SEI\r\n"
    "$CM_FULL_SIZE 200 180\r\n$$SM_MICRON_BAR 50\r\n$$SM_MICRON_MARKER 1um\r\n$$SM_WD 10.1\r\n"
)


def test_jeol_text_beside_the_image(tmp_path):
    picture = with_bar(specimen(180, 200), panel(24, 200))
    tifffile.imwrite(tmp_path / "j.tif", picture)
    (tmp_path / "j.txt").write_text(JEOL_TEXT)
    image = open_image(tmp_path / "j.tif")
    assert (image.vendor, image.pixel_size_nm) == ("JEOL", pytest.approx(20.0))
    assert image.area.bottom == 180
    assert image.specimen.source == "metadata"
    assert image.metadata["magnification"] == "5000"
    assert image.metadata["working_distance_mm"] == pytest.approx(10.1)


def test_jeol_image_saved_at_another_width_does_not_trust_the_scans_rows(tmp_path):
    tifffile.imwrite(tmp_path / "j.tif", specimen(204, 240))
    (tmp_path / "j.txt").write_text(JEOL_TEXT)
    assert open_image(tmp_path / "j.tif").area.bottom == 204


HITACHI_TEXT = (
    "[SemImageFile]\r\nInstructName=SU8000\r\nDate=2024/05/06\r\nTime=07:08:09\r\n"
    "DataSize=200x180\r\nPixelSize=24.80469\r\nSignalName=SE(U)\r\n"
    "AcceleratingVoltage=15000 Volt\r\nMagnification=4000\r\nWorkingDistance=8100 um\r\n"
)


@pytest.mark.parametrize("encoding", ["ascii", "utf-8-sig", "utf-16", "utf-16-le"])
def test_hitachi_text_in_each_encoding(tmp_path, encoding):
    tifffile.imwrite(tmp_path / "h.tif", specimen(180, 200))
    (tmp_path / "h.txt").write_bytes(HITACHI_TEXT.encode(encoding))
    image = open_image(tmp_path / "h.tif")
    assert (image.vendor, image.pixel_size_nm) == ("Hitachi", pytest.approx(24.80469))
    assert image.metadata["accelerating_voltage_kV"] == 15.0
    assert image.metadata["working_distance_mm"] == pytest.approx(8.1)
    assert image.metadata["instrument"] == "SU8000"


def test_sec_says_its_magnification_and_gives_no_pixel_size(shared_data):
    path = next((shared_data / "ncm_cathode" / "333").glob("*.jpg"))
    image = open_image(path)
    assert image.vendor == "SEC"
    assert image.pixel_size_nm is None
    assert image.metadata["magnification"] == "x500"
    assert image.metadata["accelerating_voltage_kV"] == 20.0
    assert image.metadata["working_distance_mm"] == 5.0


@pytest.mark.parametrize(
    ("unit", "per_unit", "expected"),
    [("nm", 0.1, 10.0), ("micron", 50.0, 20.0), ("\\u00B5m", 50.0, 20.0)],
)
def test_imagej_says_that_its_resolution_is_a_calibration(tmp_path, unit, per_unit, expected):
    tifffile.imwrite(
        tmp_path / "i.tif",
        specimen(180, 200),
        imagej=True,
        resolution=(per_unit, per_unit),
        metadata={"unit": unit},
    )
    image = open_image(tmp_path / "i.tif")
    assert (image.vendor, image.pixel_size_nm) == ("ImageJ", pytest.approx(expected))


@pytest.mark.parametrize("unit", ["inch", "cm", "pixel", ""])
def test_imagej_with_the_unit_of_a_screen_or_of_pixels_is_not_calibrated(tmp_path, unit):
    tifffile.imwrite(
        tmp_path / "i.tif",
        specimen(180, 200),
        imagej=True,
        resolution=(72.0, 72.0),
        metadata={"unit": unit} if unit else {},
    )
    assert open_image(tmp_path / "i.tif").pixel_size_nm is None


def test_ome_tiff(tmp_path):
    tifffile.imwrite(
        tmp_path / "o.ome.tif",
        specimen(180, 200),
        metadata={
            "axes": "YX",
            "PhysicalSizeX": 0.031,
            "PhysicalSizeXUnit": "µm",
            "PhysicalSizeY": 0.031,
            "PhysicalSizeYUnit": "µm",
        },
    )
    image = open_image(tmp_path / "o.ome.tif")
    assert (image.vendor, image.pixel_size_nm) == ("OME", pytest.approx(31.0))
    assert image.name == "o"


@pytest.mark.parametrize("unit", ["INCH", "CENTIMETER", "NONE"])
def test_a_plain_resolution_is_never_a_calibration(tmp_path, unit):
    tifffile.imwrite(
        tmp_path / "dpi.tif", specimen(180, 200), resolution=(96.0, 96.0), resolutionunit=unit
    )
    image = open_image(tmp_path / "dpi.tif")
    assert image.pixel_size_nm is None
    assert image.pixel_size_source == "not calibrated"


def test_a_gatan_file_names_the_package_it_needs(tmp_path, monkeypatch):
    from napari_sem_classify.core.common.errors import ImageError
    from napari_sem_classify.core.sem_io import rosetta

    monkeypatch.setattr(rosetta, "find_spec", lambda name: None)
    (tmp_path / "g.dm4").write_bytes(np.arange(100, dtype=np.uint8).tobytes())
    with pytest.raises(ImageError, match=r"needs RosettaSciIO, which is not installed"):
        open_image(tmp_path / "g.dm4")
