"""What is decoded never takes more than the image claims: chunks, strips, planes and levels."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import zlib

import numcodecs
import numpy as np
import pytest
import tifffile
import zarr
from class_maps import map_of, patchy_labels
from sem_pictures import one_strip, specimen

from napari_sem_classify.core.common.checked import Malformed, read_json
from napari_sem_classify.core.common.csv_text import read_csv
from napari_sem_classify.core.common.errors import AnnotationError, ImageError
from napari_sem_classify.core.maps.map_file import SavedMap, describe, restore
from napari_sem_classify.core.maps.ome_zarr_map import read_ome_map
from napari_sem_classify.core.sem_io import open_image
from napari_sem_classify.core.sem_io.label_file import read_labels
from napari_sem_classify.core.sem_io.memory_budget import SPARE_BYTES
from napari_sem_classify.core.sem_io.picture_size import picture_size

TOO_MUCH = bytes(3 * SPARE_BYTES)
TOO_FAR = "unpacks to more than the image it claims to be"
PACK = {
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "bz2": bz2.compress,
    "lzma": lzma.compress,
    "zstd": numcodecs.Zstd().encode,
    "lz4": numcodecs.LZ4().encode,
    "blosc": numcodecs.Blosc().encode,
}


def read_whole(path):
    image = open_image(path)
    return image.read(image.area)


def zarr_two(path, chunk, **described):
    """A zarr 2 array of one chunk of 70 × 70 px, whatever lies in it."""
    path.mkdir()
    told = {"zarr_format": 2, "shape": [70, 70], "chunks": [70, 70], "dtype": "|u1", "order": "C"}
    told |= {"compressor": None, "fill_value": 0, "filters": None} | described
    (path / ".zarray").write_text(json.dumps(told))
    (path / "0.0").write_bytes(chunk)
    return path


@pytest.mark.parametrize("codec", PACK)
def test_a_chunk_that_unpacks_beyond_its_size_is_refused(tmp_path, codec):
    pixels = specimen(70, 70)
    compressor = {"compressor": {"id": codec}}
    good = zarr_two(tmp_path / "g.zarr", PACK[codec](pixels.tobytes()), **compressor)
    np.testing.assert_array_equal(read_whole(good), pixels)
    with pytest.raises(ImageError, match=TOO_FAR):
        read_whole(zarr_two(tmp_path / "b.zarr", PACK[codec](TOO_MUCH), **compressor))


@pytest.mark.parametrize("shards", [None, (128, 128)])
@pytest.mark.parametrize("codec", ["ZstdCodec", "GzipCodec", "BloscCodec"])
def test_chunks_of_zarr_3_are_bounded_too(tmp_path, codec, shards):
    packer = getattr(zarr.codecs, codec)()
    for side, problem in ((64, None), (2048, TOO_FAR)):
        path = tmp_path / f"{side}.zarr"
        sizes = {"shape": (side, side), "chunks": (side, side)}
        if shards:
            sizes["shards"] = (side, side)
        array = zarr.create_array(path, **sizes, dtype="u1", compressors=packer)
        array[:] = 7
        if problem is None:
            assert read_whole(path).sum() == 7 * 64 * 64
            continue
        # The chunk is as it was, and the array tells that it is smaller.
        described = (path / "zarr.json").read_text().replace("2048", "64")
        (path / "zarr.json").write_text(described)
        with pytest.raises(ImageError, match=problem):
            read_whole(path)


def test_a_film_of_zstandard_blocks_without_a_size_is_counted(tmp_path):
    def frame(blocks):
        return b"\x28\xb5\x2f\xfd\x00\x58" + b"".join(
            (size << 3 | 1 << 1 | last).to_bytes(3, "little") + b"\x05" for size, last in blocks
        )

    zstd = {"compressor": {"id": "zstd"}}
    good = zarr_two(tmp_path / "g.zarr", frame([(4900, 1)]), **zstd)
    assert (read_whole(good) == 5).all()
    many = [(2**17, 0)] * 40 + [(4900, 1)]
    with pytest.raises(ImageError, match=TOO_FAR):
        read_whole(zarr_two(tmp_path / "b.zarr", frame(many), **zstd))


def test_a_stored_chunk_larger_than_its_pixels_is_not_read(tmp_path):
    path = zarr_two(tmp_path / "z.zarr", b"")
    with (path / "0.0").open("r+b") as file:
        file.truncate(2**40)  # takes no place on the disk
    with pytest.raises(ImageError, match=TOO_FAR):
        read_whole(path)


def test_pieces_of_one_pixel_and_too_many_levels_are_refused(tmp_path):
    path = zarr_two(tmp_path / "z.zarr", b"", shape=[5000, 5000], chunks=[1, 1])
    with pytest.raises(ImageError, match="25,000,000 pieces of 1 × 1 px"):
        open_image(path)
    group = zarr.open_group(tmp_path / "o.zarr", mode="w")
    group.create_array("0", data=specimen(70, 70))
    group.attrs["ome"] = {"multiscales": [{"axes": [], "datasets": [{"path": "0"}] * 1000}]}
    with pytest.raises(ImageError, match="1,000 resolution levels"):
        open_image(tmp_path / "o.zarr")


def test_a_pickle_in_a_zarr_is_never_opened(tmp_path):
    path = zarr_two(tmp_path / "p.zarr", b"", filters=[{"id": "pickle"}])
    with pytest.raises(ImageError, match="pickle"):
        read_whole(path)


def test_the_map_in_an_ome_zarr_is_judged_before_it_is_read(tmp_path):
    root = zarr.open_group(tmp_path / "m.zarr", mode="w")
    root.create_array("labels/classes/0", shape=(2**20, 2**20), chunks=(512, 512), dtype="u1")
    root.create_group("sem_classify").attrs["map"] = {}
    with pytest.raises(ImageError, match=r"would take 1024\.0 GB"):
        read_ome_map(tmp_path / "m.zarr")


JPEG, JPEG_2000, JPEG_XR, JPEG_XL, WEBP, LERC, PNG = 7, 34712, 34934, 50002, 50001, 34887, 34933
PICTURES = {
    "jpeg": (JPEG, lambda codecs, grey: codecs.jpeg8_encode(grey)),
    "codestream": (JPEG_2000, lambda codecs, grey: codecs.jpeg2k_encode(grey, codecformat="j2k")),
    "jp2": (JPEG_2000, lambda codecs, grey: codecs.jpeg2k_encode(grey, codecformat="jp2")),
    "jpegxr": (JPEG_XR, lambda codecs, grey: codecs.jpegxr_encode(grey)),
    "jpegxl": (JPEG_XL, lambda codecs, grey: codecs.jpegxl_encode(grey, effort=1)),
    "jxl": (JPEG_XL, lambda codecs, grey: codecs.jpegxl_encode(grey, effort=1, usecontainer=True)),
    "webp": (WEBP, lambda codecs, grey: codecs.webp_encode(np.stack([grey] * 3, -1))),
    "lossy": (WEBP, lambda codecs, grey: codecs.webp_encode(np.stack([grey] * 3, -1), level=50)),
    "lerc": (LERC, lambda codecs, grey: codecs.lerc_encode(grey)),
    "png": (PNG, lambda codecs, grey: codecs.png_encode(grey)),
}


@pytest.mark.parametrize("name", PICTURES)
def test_the_size_in_a_pictures_own_header_is_known(name):
    imagecodecs = pytest.importorskip("imagecodecs", reason="needs the extra 'codecs'")
    number, encode = PICTURES[name]
    for shape in ((96, 96), (100, 37), (40, 60), (513, 700)):
        found = picture_size(encode(imagecodecs, specimen(*shape)), number)
        assert found is not None
        assert found[:2] == shape


@pytest.mark.parametrize("name", PICTURES)
def test_a_strip_that_holds_a_larger_picture_is_refused(tmp_path, name):
    imagecodecs = pytest.importorskip("imagecodecs", reason="needs the extra 'codecs'")
    number, encode = PICTURES[name]
    path = tmp_path / "s.tif"
    large = encode(imagecodecs, specimen(1100, 1100))
    one_strip(path, rows=80, cols=80, packed=large, compression=number)
    with pytest.raises(ImageError, match=TOO_FAR):
        read_whole(path)


def ome(path, planes, uuid=""):
    described = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="70" '
        f'SizeY="70" SizeC="1" SizeT="1" SizeZ="{planes}"><TiffData IFD="0">{uuid}</TiffData>'
        "</Pixels></Image></OME>"
    )
    tifffile.imwrite(path, specimen(70, 70), description=described, metadata=None)
    return path


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with a name")
@pytest.mark.parametrize("name", ["FileName='pipe'", 'FileName = "&#112;ipe"'])
def test_a_pipe_named_in_an_ome_xml_is_refused(tmp_path, name):
    os.mkfifo(tmp_path / "pipe")
    path = ome(tmp_path / "o.ome.tif", 1, f"<UUID {name}>urn:uuid:1</UUID>")
    with pytest.raises(ImageError, match="pipe is not a file"):
        open_image(path)


def test_an_ome_xml_with_billions_of_planes_is_refused(tmp_path):
    with pytest.raises(ImageError, match="more than 100,000 planes"):
        open_image(ome(tmp_path / "o.ome.tif", 10**10))


def test_labels_and_maps_that_claim_more_than_the_memory_holds_are_one_sentence(tmp_path):
    path = tmp_path / "l.zarr"
    zarr.create_array(path, shape=(10**6, 10**6), chunks=(512, 512), dtype="u1")
    with pytest.raises(AnnotationError, match=r"would take 1\d\d\d\.\d GB of memory"):
        read_labels(path)
    area = [0, 96_000, 0, 96_000]
    told = describe(SavedMap.of(map_of(patchy_labels()))) | {"area": area, "cell_px": 8}
    told |= {"tile_px": 8, "planes": [[]]}
    cells = np.broadcast_to(np.uint8(0), (12_000, 12_000))
    with pytest.raises(ImageError, match=r"would take \d+\.\d GB of memory"):
        restore(tmp_path / "m.map.tif", told, cells, lambda shape: None)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with a name")
@pytest.mark.parametrize("read", [read_json, read_csv])
def test_text_is_read_from_files_only(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Malformed, match="pipe"):
        read(tmp_path / "pipe")
