"""Original files of several makers, opened; and for each damaged one the sentence a user sees."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.sem_io import open_image
from napari_sem_classify.core.sem_io.info_bar import find_panel

FEI = "fei_lung_samples"
NEXUS = "nexuslims"

# File, vendor, nm a pixel as its own tags say, rows of the info bar, dtype.
READABLE = [
    ("aquami_Sample.tif", "Zeiss", 0.543, 77, "uint8"),
    (f"{FEI}/IPDI_DCs_5KV_1200x_ETD_HV_5spot_12.3WD_003.tif", "FEI", 112.413, 79, "uint16"),
    (f"{FEI}/NiO_DC_5000x_A.tif", "FEI", 26.9792, 79, "uint8"),
    (f"{NEXUS}/orion-fibics_dataZeroed.tif", "Fibics", 1.220703125, 0, "uint8"),
    (f"{NEXUS}/orion-zeiss_dataZeroed.tif", "Zeiss Orion", 0.9765625, 96, "uint8"),
    (f"{NEXUS}/quanta-fei_2_dataZeroed.tif", "FEI", 3.33333, 59, "uint16"),
    (f"{NEXUS}/quanta_image.tif", "FEI", 441.942, 59, "uint8"),
    (f"{NEXUS}/quanta_image_32bit.tif", "", None, 0, "int32"),
    (f"{NEXUS}/scios_multigis_metadata_sections.tif", "FEI", 3.3724, 140, "uint8"),
    (f"{NEXUS}/scios_xml_metadata.tif", "FEI", 26.9792, 0, "uint8"),
    (f"{NEXUS}/tescan-pfib_dataZeroed.tif", "TESCAN", 1.5625, 298, "uint16"),
]
DAMAGED = [
    (f"{NEXUS}/quad1image_001_no_beam_scan_or_system_meta.tif", "its pixels are not all in"),
    (f"{NEXUS}/quanta_no_beam_scan_or_system_meta.tif", "its pixels are not all in the file"),
    (f"{NEXUS}/quanta_bad_metadata.tif", "says that it is 0 × 1024 px"),
    (f"{NEXUS}/quanta_just_modded_mdata.tif", "named like a TIFF and holds something else"),
]
# Those whose pixels were not zeroed before they were published.
FEI_WITH_PICTURE = [READABLE[1][0], READABLE[2][0], READABLE[6][0]]


@pytest.fixture
def vendor_data(shared_data):
    return shared_data / "vendor"


def test_every_file_of_the_folder_is_in_the_tables(vendor_data):
    files = {p.relative_to(vendor_data).as_posix() for p in vendor_data.rglob("*.tif")}
    assert files == {row[0] for row in READABLE} | {row[0] for row in DAMAGED}


@pytest.mark.parametrize(("name", "vendor", "pixel_nm", "bar_rows", "dtype"), READABLE)
def test_a_makers_file_is_calibrated_and_its_bar_is_left_out(
    vendor_data, name, vendor, pixel_nm, bar_rows, dtype
):
    image = open_image(vendor_data / name)
    assert image.vendor == vendor
    if pixel_nm is None:
        assert image.pixel_size_nm is None
        assert image.pixel_size_source == "not calibrated"
    else:
        assert image.pixel_size_nm == pytest.approx(pixel_nm, rel=1e-3)
        assert image.pixel_size_source == f"{vendor} metadata"
    assert image.area.as_list() == [0, image.shape[0] - bar_rows, 0, image.shape[1]]
    assert str(image.dtype) == dtype
    assert image.read(image.area).shape == (image.area.height, image.area.width)


@pytest.mark.parametrize(("name", "sentence"), DAMAGED)
def test_a_damaged_file_is_one_sentence(vendor_data, name, sentence, caplog, capfd):
    with pytest.raises(ImageError) as raised:
        open_image(vendor_data / name)
    message = str(raised.value)
    assert sentence in message
    assert name in message
    assert "\n" not in message
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", FEI_WITH_PICTURE)
def test_pixels_and_metadata_agree_on_the_bar_of_fei_files(vendor_data, name):
    image = open_image(vendor_data / name)
    assert image.specimen.source == "metadata"
    found = find_panel(image.data, image.shape, image.colour)
    assert abs(found.bottom_rows - (image.shape[0] - image.area.bottom)) <= 2
    assert found.top_rows == 0


def test_what_people_ask_for_is_kept_under_plain_names(vendor_data):
    image = open_image(vendor_data / NEXUS / "quanta_image.tif")
    assert image.metadata["vendor"] == "FEI"
    assert image.metadata["instrument"] == "Quanta FEG"
    assert image.metadata["accelerating_voltage_kV"] == 30.0
    assert image.metadata["working_distance_mm"] == pytest.approx(11.051)
    assert image.metadata["field_width_um"] == pytest.approx(452.548)
    assert image.metadata["date"] == "12/18/2017 01:04:14 PM"


def test_the_zeiss_reader_shuns_the_pixel_size_of_the_display(vendor_data):
    image = open_image(vendor_data / "aquami_Sample.tif")
    assert image.metadata["magnification"] == "500.00 K X"
    assert image.metadata["detector"] == "InLens"
    assert image.metadata["field_width_um"] == pytest.approx(0.556)


def test_an_uncompressed_tiff_is_mapped_and_not_read(vendor_data):
    image = open_image(vendor_data / NEXUS / "scios_multigis_metadata_sections.tif")
    assert isinstance(image.data, np.memmap)
