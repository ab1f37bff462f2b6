"""Metadata that is cut, absurd, wrongly encoded or hostile: a value or none, soon and in little."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sem_pictures import specimen

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.sem_io import open_image
from napari_sem_classify.core.sem_io.source import Source, decode
from napari_sem_classify.core.sem_io.vendors import READERS, read_vendor
from napari_sem_classify.core.sem_io.vendors.values import (
    LARGEST_PIXEL_NM,
    SMALLEST_PIXEL_NM,
    VendorMetadata,
    checked_bar,
    number,
    pixel_size,
)
from napari_sem_classify.core.sem_io.vendors.xml_text import parse

FAST = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SHAPE = (96, 128)
BILLION_LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "lol">'
    + "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9))
    + "]><FeiImage><pixelWidth unit='nm'>&j;</pixelWidth></FeiImage>"
)
EXTERNAL = (
    '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    "<FeiImage><pixelWidth unit='nm'>&e;</pixelWidth></FeiImage>"
)

numbers = st.one_of(
    st.floats(),
    st.integers(),
    st.sampled_from(
        ["", "1e400", "-1", "0", "nan", "inf", "12,5", "1e-9", "0x10", "1" * 400, "½", "١٢"]
    ),
)
tag_values = st.recursive(
    st.one_of(st.none(), st.binary(max_size=60), st.text(max_size=40), numbers),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.text(max_size=12), inner, max_size=4),
    ),
    max_leaves=12,
)


def check(found, rows=SHAPE[0]):
    assert found is None or isinstance(found, VendorMetadata)
    if found is None:
        return
    if found.pixel_size_nm is not None:
        assert SMALLEST_PIXEL_NM <= found.pixel_size_nm <= LARGEST_PIXEL_NM
    if found.bar_rows is not None:
        assert 0 <= found.bar_rows < rows
    for value in found.plain().values():
        assert isinstance(value, (str, int, float))


@FAST
@given(
    tags=st.dictionaries(
        st.sampled_from([34118, 34680, 34682, 34683, 50431, 51023, 65000]), tag_values, max_size=4
    )
)
def test_any_value_under_a_makers_tag_gives_a_value_or_none(tmp_path, tags):
    check(read_vendor(Source(path=tmp_path / "a.tif", shape=SHAPE, tags=tags)))


@FAST
@given(
    width=numbers,
    height=numbers,
    field=numbers,
    rows=numbers,
    cols=numbers,
    bar=numbers,
    voltage=numbers,
)
def test_absurd_numbers_in_fei_sections(tmp_path, width, height, field, rows, cols, bar, voltage):
    ini = {
        "Scan": {"PixelWidth": width, "PixelHeight": height, "HorFieldsize": field},
        "Image": {"ResolutionX": cols, "ResolutionY": rows},
        "EBeam": {"HV": voltage, "WD": voltage},
        "PrivateFei": {"DatabarHeight": bar},
    }
    check(read_vendor(Source(path=tmp_path / "a.tif", shape=SHAPE, tags={34682: ini})))


@FAST
@given(unnamed=st.lists(numbers, max_size=6).map(tuple), value=numbers, unit=st.text(max_size=4))
def test_absurd_numbers_in_zeiss_tags(tmp_path, unnamed, value, unit):
    sem = {"": unnamed, "ap_image_pixel_size": ("x", value, unit), "ap_wd": ("WD", value)}
    check(read_vendor(Source(path=tmp_path / "a.tif", shape=SHAPE, tags={34118: sem})))


@FAST
@given(x=numbers.map(str), y=numbers.map(str), strip=numbers.map(str), junk=st.binary(max_size=80))
def test_absurd_numbers_in_tescan_tags(tmp_path, x, y, strip, junk):
    lines = f"\nPixelSizeX={x}\nPixelSizeY={y}\nImageStripSize={strip}\nHV={x}\n"
    tag = junk + lines.encode("utf-8", "surrogatepass") + junk
    check(read_vendor(Source(path=tmp_path / "a.tif", shape=SHAPE, tags={50431: tag})))


SIDECAR_STARTS = [
    b"[SemImageFile]\r\nPixelSize=", b"$CM_FULL_SIZE ", b"$$SM_MICRON_BAR 5\n$$SM_MICRON_MARKER ",
    b"[Image Info]\r\nModel : ", "[SemImageFile]\r\nPixelSize=1".encode("utf-16"), b"",
]  # fmt: skip


@FAST
@given(start=st.sampled_from(SIDECAR_STARTS), rest=st.binary(max_size=200))
def test_any_bytes_in_a_text_beside_the_image(tmp_path, start, rest):
    for name in ("a.txt", "a.hdr", "a.tif.txt"):
        (tmp_path / name).write_bytes(start + rest)
    check(read_vendor(Source(path=tmp_path / "a.tif", shape=SHAPE)))
    assert isinstance(decode(start + rest), str)


def test_a_sidecar_of_gigabytes_is_not_read(tmp_path):
    with (tmp_path / "a.txt").open("wb") as file:
        file.write(b"[SemImageFile]\r\nPixelSize=5\r\n")
        file.truncate(2**31)
    source = Source(path=tmp_path / "a.tif", shape=SHAPE)
    assert source.sidecar("{stem}.txt") is None


@pytest.mark.parametrize("code", [34683, 51023, 65000])
@pytest.mark.parametrize(
    "xml",
    [
        BILLION_LAUGHS,
        EXTERNAL,
        "<a>" * 1_000_000,
        "<FeiImage>" + "<x>" * 5000 + "</x>" * 5000 + "</FeiImage>",
        "<FeiImage><pixelWidth unit='nm'>12",
        "\x00" * 500,
        "<?xml version='1.0' encoding='nonsense'?><Fibics/>",
        "<" * 100_000,
        "<Fibics>" + "&lt;" * 1_100_000 + "</Fibics>",
    ],
)
def test_hostile_xml_is_no_calibration(tmp_path, code, xml):
    source = Source(path=tmp_path / "a.tif", shape=SHAPE, tags={code: xml}, ome_xml=xml)
    found = read_vendor(source)
    assert found is None or found.pixel_size_nm is None


def test_xml_bombs_in_a_real_file(tmp_path):
    picture = specimen(*SHAPE)
    tag = (34683, 2, 0, BILLION_LAUGHS, True)
    tifffile.imwrite(tmp_path / "x.tif", picture, extratags=[tag], metadata=None)
    image = open_image(tmp_path / "x.tif")
    assert image.pixel_size_nm is None
    np.testing.assert_array_equal(image.read(image.area), picture)


@FAST
@given(text=st.text(max_size=300))
def test_any_text_is_xml_or_none(text):
    parse(text)
    parse("<" + text)
    parse(f"<a>{text}</a>")


@pytest.mark.parametrize("nm", [0.0, -5.0, 1e-4, 2e6, float("nan"), float("inf")])
def test_implausible_pixel_sizes_are_refused(nm):
    assert pixel_size(nm)[0] is None


@pytest.mark.parametrize("bar", [-1, 0.5, 90, 1e9, float("nan"), "many", None])
def test_implausible_bars_are_refused(bar):
    assert checked_bar(100, bar) is None


@FAST
@given(value=st.one_of(numbers, st.text(), st.binary(), st.none(), st.booleans()))
def test_a_number_is_finite_or_none(value):
    found = number(value)
    assert found is None or np.isfinite(found)


@pytest.fixture(scope="module")
def fei_file(tmp_path_factory):
    ini = (
        "[Scan]\r\nPixelWidth=4.2e-9\r\nPixelHeight=4.2e-9\r\n[Image]\r\nResolutionY=90\r\n"
        "[System]\r\nSystemType=Quanta\r\n"
    )
    path = tmp_path_factory.mktemp("fuzz") / "fei.tif"
    tifffile.imwrite(path, specimen(*SHAPE), extratags=[(34682, 2, 0, ini, True)], metadata=None)
    return path


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_tiff_with_any_bytes_changed_opens_or_is_one_sentence(tmp_path, fei_file, data):
    content = bytearray(fei_file.read_bytes())
    # Header, directory and tags lie around the pixels: change bytes there, not in the pixels.
    outside = [*range(8), *range(SHAPE[0] * SHAPE[1], len(content))]
    if data.draw(st.booleans()):
        outside = range(min(400, len(content)))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.sampled_from(outside))
        content[at] = data.draw(st.integers(0, 255))
    path = tmp_path / "fuzzed.tif"
    path.write_bytes(bytes(content))
    try:
        image = open_image(path)
        pixels = image.read(image.area)
    except ImageError as error:
        assert "\n" not in str(error)
        return
    assert pixels.shape == (image.area.height, image.area.width)
    check_size = image.pixel_size_nm
    assert check_size is None or SMALLEST_PIXEL_NM <= check_size <= LARGEST_PIXEL_NM


def test_every_reader_has_the_one_signature(tmp_path):
    source = Source(path=tmp_path / "a.tif", shape=SHAPE)
    assert [read(source) for read in READERS] == [None] * len(READERS)


@pytest.mark.slow
def test_hostile_files_stay_below_a_gigabyte(tmp_path):
    """Opens bombs in a process of its own and asks the system for its largest size."""
    script = textwrap.dedent(
        """
        import sys, resource
        sys.path[:0] = sys.argv[2:]
        from pathlib import Path
        from sem_pictures import one_strip
        from test_bad_files import packed_zeros
        from napari_sem_classify.core.common.errors import ImageError
        from napari_sem_classify.core.sem_io import open_image
        folder = Path(sys.argv[1])
        packed = packed_zeros("zlib", 2**31)
        for name, options in {
            "strip": dict(rows=1000, cols=1000), "claim": dict(rows=60000, cols=60000)
        }.items():
            one_strip(folder / f"{name}.tif", packed=packed, compression=8, **options)
            try:
                open_image(folder / f"{name}.tif")
            except ImageError as error:
                print(error)
        status = Path("/proc/self/status")
        if status.exists():  # Linux hands a parent's ru_maxrss on to its children
            print(status.read_text().split("VmHWM:")[1].split()[0])
        else:
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        """
    )
    here = Path(__file__).resolve()
    paths = [str(here.parent), str(here.parents[2])]
    result = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), *paths],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    *sentences, largest = result.stdout.splitlines()
    assert len(sentences) == 2
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(largest) * unit < 2**30
