"""Bombs: images that claim or unpack to far too much, that have no end, or are no files."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import socket
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np


def write_bombs(folder: Path) -> None:
    """Write inputs that claim or unpack to far too much, that have no end, or are no files."""
    folder.mkdir(parents=True)
    for kind in (_chunk_bombs, _strip_bombs, _loops, _no_files):
        kind(folder)


def _chunk_bombs(folder: Path) -> None:
    """Chunks that unpack to half a gigabyte, and chunks that claim more."""
    import numcodecs

    zeros = bytes(2**29)
    packed = {
        "gzip": gzip.compress(zeros, 1),
        "zlib": zlib.compress(zeros, 1),
        "bz2": bz2.compress(zeros[: 2**27]) * 4,
        "lzma": lzma.compress(zeros, preset=0),
        "zstd": bytes(numcodecs.Zstd().encode(zeros)),
        "blosc": bytes(numcodecs.Blosc().encode(zeros)),
        "lz4": bytes(numcodecs.LZ4().encode(zeros)),
    }
    stored = {**packed, "claim_blosc": _claim(packed["blosc"], 4), "claim_lz4": b"\xff\xff\xff\x7f"}
    for name, chunk in stored.items():
        path = folder / f"chunk_{name}.zarr"
        path.mkdir()
        described = {
            **{"zarr_format": 2, "shape": [96, 96], "chunks": [96, 96], "dtype": "|u1"},
            **{"compressor": {"id": name.removeprefix("claim_")}, "fill_value": 0},
            **{"order": "C", "filters": None},
        }
        (path / ".zarray").write_text(json.dumps(described))
        (path / "0.0").write_bytes(chunk)
    for name in ("gzip", "zstd", "blosc"):
        for shards in (False, True):
            _chunk_bomb_of_three(folder, name, packed[name], shards=shards)
    huge = folder / "huge_chunk.zarr"
    huge.mkdir()
    text = {"zarr_format": 2, "shape": [2**20] * 2, "chunks": [2**20] * 2, "dtype": "|u1"}
    text |= {"compressor": None, "fill_value": 0, "order": "C", "filters": None}
    (huge / ".zarray").write_text(json.dumps(text))


def _claim(chunk: bytes, at: int) -> bytes:
    return chunk[:at] + struct.pack("<I", 2**31 - 17) + chunk[at + 4 :]


def _chunk_bomb_of_three(folder: Path, name: str, chunk: bytes, *, shards: bool) -> None:
    import zarr

    path = folder / f"three_{name}{'_sharded' * shards}.zarr"
    codec = {"gzip": "GzipCodec", "zstd": "ZstdCodec", "blosc": "BloscCodec"}[name]
    packer = getattr(zarr.codecs, codec)()
    how = {"shards": (96, 96)} if shards else {}
    sizes = {"shape": (96, 96), "chunks": (96, 96), "dtype": "u1"}
    zarr.create_array(path, **sizes, compressors=packer, filters=None, **how)
    stored = path / "c" / "0" / "0"
    stored.parent.mkdir(parents=True)
    if shards:
        index = struct.pack("<QQ", 0, len(chunk))
        import google_crc32c

        chunk += index + struct.pack("<I", google_crc32c.value(index))
    stored.write_bytes(chunk)


def _tiff(
    path: Path, rows: int, cols: int, compression: int, data: bytes, *, bits: int = 8, last: int = 0
) -> Path:
    """A TIFF of one strip, whose claims and bytes need not belong together."""
    entries = [
        *((256, 4, 1, cols), (257, 4, 1, rows), (258, 3, 1, bits), (259, 3, 1, compression)),
        *((262, 3, 1, 1), (273, 4, 1, 8 + 2 + 9 * 12 + 4), (277, 3, 1, 1), (278, 4, 1, rows)),
        (279, 4, 1, len(data)),
    ]
    directory = struct.pack("<H", len(entries)) + b"".join(
        struct.pack("<HHII", *entry) for entry in entries
    )
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<I", last) + data)
    return path


def _strip_bombs(folder: Path) -> None:
    zeros = bytes(2**29)
    for name, number, data in (
        ("zlib", 8, zlib.compress(zeros, 1)),
        ("lzma", 34925, lzma.compress(zeros, preset=0)),
        ("packbits", 32773, b"\x81\x00" * 2**21),
    ):
        _tiff(folder / f"strip_{name}.tif", 96, 96, number, data)
    for name, data in _large_pictures():
        number = {"jpeg": 7, "jpeg2k": 34712, "png": 34933, "webp": 50001, "webp_lossy": 50001}
        number |= {"jpegxl": 50002, "jpegxr": 34934, "lerc": 34887}
        _tiff(folder / f"strip_{name}.tif", 96, 96, number[name], data)
    for number in (1, 5, 7, 8, 34925, 50000):
        _tiff(folder / f"claim_{number}.tif", 60_000, 60_000, number, bytes(4000))


def _large_pictures() -> Iterator[tuple[str, bytes]]:
    """Pictures of 484 megapixels and more, small on disk, in the place of 96 by 96 px."""
    try:
        import imagecodecs
    except ImportError:
        return
    side = 22_000
    blank = np.zeros((side, side), np.uint8)
    yield "jpeg", imagecodecs.jpeg8_encode(blank)
    yield "png", imagecodecs.png_encode(blank, level=1)
    for name, how in (("jpeg2k", {"level": 40}), ("jpegxl", {"effort": 1}), ("jpegxr", {})):
        yield name, getattr(imagecodecs, f"{name}_encode")(blank, **how)
    yield "lerc", imagecodecs.lerc_encode(blank)
    colour = np.zeros((16_000, 16_000, 3), np.uint8)
    yield "webp", imagecodecs.webp_encode(colour, lossless=True, method=0)
    yield "webp_lossy", imagecodecs.webp_encode(colour, level=1, method=0)


def _loops(folder: Path) -> None:
    _tiff(folder / "page_after_itself.tif", 96, 96, 1, bytes(96 * 96), last=8)
    path = _tiff(folder / "page_in_itself.tif", 96, 96, 1, bytes(96 * 96))
    content = bytearray(path.read_bytes())
    struct.pack_into("<HHII", content, 10 + 4 * 12, 330, 4, 1, 8)
    path.write_bytes(content)
    many = struct.pack("<HHHIII", 1, 256, 3, 1, 96, 0)
    path = folder / "many_pages.tif"
    length = len(many)
    pages = b"".join(many[:-4] + struct.pack("<I", 8 + length * (n + 1)) for n in range(300_000))
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + pages + many)


def _no_files(folder: Path) -> None:
    os.mkfifo(folder / "pipe.tif")
    (folder / "zeros.tif").symlink_to("/dev/zero")
    (folder / "linked.png").symlink_to(folder / "pipe.tif")
    (folder / "itself.tif").symlink_to(folder / "itself.tif")
    place = Path.cwd()
    os.chdir(folder)  # a socket's name may have 108 bytes only
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.tif")
    os.chdir(place)
    from tifffile import imwrite

    for name, other in (("pipe", "pipe.tif"), ("zeros", "zeros.tif"), ("missing", "none.tif")):
        described = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
            '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" '
            'SizeX="96" SizeY="96" SizeC="1" SizeZ="2" SizeT="1"><TiffData FirstZ="0" IFD="0">'
            '<UUID FileName="names.ome.tif">urn:uuid:1</UUID></TiffData><TiffData FirstZ="1" '
            f"IFD='0'><UUID FileName='{other}'>urn:uuid:2</UUID></TiffData></Pixels></Image></OME>"
        )
        path = folder / f"names_{name}.ome.tif"
        imwrite(path, np.zeros((96, 96), np.uint8), description=described, metadata=None)
