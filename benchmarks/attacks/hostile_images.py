"""Images for the attacks: good ones of every kind, and ways to spoil them."""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.attacks.harness import mutated

ROWS, COLS = 176, 208
CODECS = {
    **{"none": "u2", "zlib": "u1", "lzw": "u2", "packbits": "u1", "lzma": "u2", "zstd": "f4"},
    **{"jpeg": "u1", "jpeg2000": "u2", "jpegxl": "u1", "jpegxr": "u1", "png": "u2"},
    **{"webp": "u1", "lerc": "f4"},
}
EXTREMES = (0, 1, 2, 3, 7, 255, 65535, 65536, 10**6, 2**31 - 1, 2**31, 2**32 - 1, 2**64 - 1)
TEXTS: tuple[Any, ...] = (
    *(
        -1,
        0,
        1,
        7,
        10**5,
        2**31,
        2**63,
        10**30,
        1e308,
        0.5,
        None,
        True,
        "",
        "x",
        "|O",
        ">f8",
        "<U9",
    ),
    *([], {}, [0], [1, 1], [10**6] * 2, [2**40] * 2, [1] * 40, {"id": "zlib"}, {"id": "pickle"}),
    *("\x1b[2J\x07", "../..", "NaN", [[]], {"name": "gzip"}, "y", "micrometer"),
)


def write_good_images(folder: Path) -> None:
    """Write small real images of every format, codec and maker; the zarrs are folders."""
    folder.mkdir(parents=True)
    for kind in (_tiffs, _pictures, _zarrs, _class_map):
        kind(folder)


def _specimen(dtype: str, *, seed: int = 0) -> np.ndarray:
    from sem_pictures import specimen

    return specimen(ROWS, COLS, seed, np.dtype(dtype).type)


def _tiffs(folder: Path) -> None:
    from tifffile import TiffWriter, imwrite

    for codec, dtype in CODECS.items():
        for layout in ({"rowsperstrip": 48}, {"tile": (64, 80)}):
            path = folder / f"{codec}_{next(iter(layout))}.tif"
            pixels = _specimen(dtype)
            if codec == "webp":
                pixels = np.stack([pixels] * 3, axis=-1)
            how = {} if codec == "none" else {"compression": codec}
            try:
                imwrite(path, pixels, **how, **layout)
            except (ValueError, KeyError, ImportError, RuntimeError):
                continue  # the package imagecodecs is not installed, or has not this one
    stack = np.stack([_specimen("u2", seed=n) for n in range(3)])
    makers = {
        "fei": [(34682, 2, 0, "[Scan]\r\nPixelWidth=1.2e-8\r\nPixelHeight=1.2e-8\r\n", True)],
        "zeiss": [(34118, 2, 0, "\r\nAP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = 12 nm\r\n", True)],
        "tescan": [(50431, 2, 0, "[MAIN]\nPixelSizeX=1e-8\nPixelSizeY=1e-8\n", True)],
    }
    for maker, tags in makers.items():
        imwrite(folder / f"{maker}.tif", _specimen("u1"), extratags=tags)
    imwrite(folder / "imagej.tif", stack, imagej=True, metadata={"axes": "ZYX", "unit": "um"})
    imwrite(folder / "big.tif", stack, bigtiff=True, compression="zlib")
    imwrite(folder / "colour.tif", np.stack([*stack], axis=-1), photometric="rgb", predictor=True,
            compression="zlib")  # fmt: skip
    imwrite(folder / "planar.tif", stack, photometric="rgb", planarconfig="separate")
    calibrated = {"axes": "YX", "PhysicalSizeX": 0.01, "PhysicalSizeY": 0.01}
    with TiffWriter(folder / "pyramid.ome.tif", ome=True) as writer:
        tiles = {"tile": (64, 64), "compression": "zlib"}
        writer.write(stack[0], subifds=1, metadata=calibrated, **tiles)
        writer.write(stack[0, ::2, ::2], subfiletype=1, **tiles)
    imwrite(folder / "stack.ome.tif", stack, metadata={"axes": "ZYX"})


def _pictures(folder: Path) -> None:
    from PIL import Image

    grey = Image.fromarray(_specimen("u1"))
    for name, image, options in (
        ("grey.png", grey, {}),
        ("deep.png", Image.fromarray(_specimen("u2")), {}),
        ("colour.png", grey.convert("RGB"), {}),
        ("palette.png", grey.convert("P"), {}),
        ("grey.jpg", grey, {}),
        ("progressive.jpg", grey.convert("RGB"), {"progressive": True}),
        ("grey.bmp", grey, {}),
    ):
        image.save(folder / name, **options)


def _zarrs(folder: Path) -> None:
    import zarr
    from numcodecs import BZ2, LZ4, LZMA, Blosc, GZip, Zlib, Zstd

    pixels = _specimen("u2")
    for codec in (BZ2(), LZ4(), LZMA(), Blosc(), GZip(), Zlib(), Zstd()):
        path = folder / f"two_{codec.codec_id}.zarr"
        zarr.create_array(path, data=pixels, chunks=(64, 64), zarr_format=2, compressors=codec)
    for name, how in (
        ("zstd", {}),
        ("gzip", {"compressors": zarr.codecs.GzipCodec()}),
        ("blosc", {"compressors": zarr.codecs.BloscCodec()}),
        ("sharded", {"shards": (128, 128)}),
    ):
        zarr.create_array(folder / f"{name}.zarr", data=pixels, chunks=(64, 64), **how)
    for version, zarr_format in (("0.4", 2), ("0.5", 3)):
        path = folder / f"levels_{version}.ome.zarr"
        group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
        for level in range(2):
            step = 2**level
            group.create_array(str(level), data=pixels[::step, ::step], chunks=(64, 64))
        described = {
            "version": version,
            "axes": [{"name": n, "type": "space", "unit": "nanometer"} for n in "yx"],
            "datasets": [
                {
                    "path": str(level),
                    "coordinateTransformations": [
                        {"type": "scale", "scale": [12.0 * 2**level] * 2}
                    ],
                }
                for level in range(2)
            ],
        }
        told = {"multiscales": [described]}
        group.attrs.update(told if version == "0.4" else {"ome": {"version": version, **told}})


def _class_map(folder: Path) -> None:
    from class_maps import map_of, patchy_labels

    from napari_sem_classify.core.maps.map_file import SavedMap, write_map

    path = folder / "scan.map.tif"
    write_map(SavedMap.of(map_of(patchy_labels())), path)


def spoilt(good: Path, folder: Path, chance: random.Random) -> Path:
    """A copy of an image with faults: bytes, tags, sizes, texts or files within it."""
    path = folder / good.name
    if good.is_dir():
        shutil.copytree(good, path)
        _spoil_zarr(path, chance)
        return path
    content = bytearray(good.read_bytes())
    for _ in range(chance.randint(1, 2)):
        ways: list[Callable[[bytearray, random.Random], None]] = [_spoil_bytes, _spoil_digits]
        if ".tif" in good.name:
            ways += [_spoil_tag] * 4
        elif good.suffix == ".png":
            ways += [_spoil_png] * 2
        elif good.suffix == ".jpg":
            ways += [_spoil_frame]
        chance.choice(ways)(content, chance)
    path.write_bytes(content)
    return path


def _spoil_bytes(content: bytearray, chance: random.Random) -> None:
    content[:] = mutated(bytes(content), chance)


def _spoil_digits(content: bytearray, chance: random.Random) -> None:
    """Change numbers in texts: descriptions, OME-XML, makers' metadata."""
    digits = [at for at, byte in enumerate(content) if 48 <= byte <= 57]
    for at in chance.sample(digits, min(len(digits), 20)):
        content[at] = chance.choice(b"0199-.eE")


def _tags(content: bytearray) -> tuple[str, bool, list[int], list[int]]:
    """Byte order, BigTIFF or not, places of tags, and of what points to the next page."""
    order = "<" if content[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", content, 2)[0] == 43
    offset_type, step = ("Q", 20) if big else ("I", 12)
    at = struct.unpack_from(order + offset_type, content, 8 if big else 4)[0]
    tags: list[int] = []
    links: list[int] = []
    while at and len(links) < 20:
        count = struct.unpack_from(order + ("Q" if big else "H"), content, at)[0]
        at += 8 if big else 2
        tags += [at + step * n for n in range(min(count, 100))]
        at += step * count
        links.append(at)
        at = struct.unpack_from(order + offset_type, content, at)[0]
    return order, big, tags, links


def _spoil_tag(content: bytearray, chance: random.Random) -> None:
    """Give a tag of a TIFF an extreme value, count, type or name, or make pages a loop."""
    try:
        order, big, tags, links = _tags(content)
        tag, wide = chance.choice(tags), chance.choice(EXTREMES)
        offset_type = "Q" if big else "I"
        narrow = wide & (2**64 - 1 if big else 2**32 - 1)
        first = struct.unpack_from(order + offset_type, content, 8 if big else 4)[0]
        way = chance.randrange(7)
        if way == 0:
            struct.pack_into(order + offset_type, content, tag + 4, narrow)  # count
        elif way == 1:
            struct.pack_into(order + "H", content, tag + 2, chance.randrange(20))  # type
        elif way == 2:
            name = chance.choice((256, 257, 258, 259, 277, 278, 322, 323, 330, 339, 34682, 50431))
            struct.pack_into(order + "H", content, tag, name)
        elif way == 3:
            struct.pack_into(order + offset_type, content, chance.choice(links), first)
        elif way == 4:  # a page within itself
            struct.pack_into(order + "HH" + offset_type * 2, content, tag, 330, 4, 1, first)
        else:
            struct.pack_into(
                order + offset_type, content, tag + (12 if big else 8), narrow
            )  # value
    except (struct.error, IndexError, OverflowError):
        _spoil_bytes(content, chance)


def _spoil_png(content: bytearray, chance: random.Random) -> None:
    """Change the size or another field of a PNG's header, or a block, with the right checksum."""
    places, at = [], 8
    while at + 12 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        places.append((at, length))
        at += 12 + length
    at, length = chance.choice(places[:1] * 3 + places)
    if length:
        where = at + 8 + chance.randrange(length)
        if at == 8 and chance.random() < 0.7:
            value = chance.choice(EXTREMES) & (2**31 - 1)
            where = at + chance.choice((8, 12))
            content[where : where + 4] = value.to_bytes(4, "big")
        else:
            content[where] = chance.randrange(256)
    body = content[at + 4 : at + 8 + length]
    content[at + 8 + length : at + 12 + length] = zlib.crc32(body).to_bytes(4, "big")


def _spoil_frame(content: bytearray, chance: random.Random) -> None:
    """Give a JPEG another size."""
    for marker in (b"\xff\xc0", b"\xff\xc2"):
        at = content.find(marker)
        if at > 0:
            size = chance.choice(EXTREMES) & 0xFFFF
            where = at + chance.choice((5, 7))
            content[where : where + 2] = size.to_bytes(2, "big")


def _spoil_zarr(path: Path, chance: random.Random) -> None:
    files = sorted(each for each in path.rglob("*") if each.is_file())
    texts = [each for each in files if each.name in (".zarray", ".zattrs", ".zgroup", "zarr.json")]
    chunks = [each for each in files if each not in texts]
    if chance.random() < 0.6:
        target = chance.choice(texts)
        if chance.random() < 0.25:
            target.write_bytes(mutated(target.read_bytes(), chance))
            return
        value = json.loads(target.read_text())
        _spoil_value(value, chance)
        target.write_text(json.dumps(value))
        return
    target = chance.choice(chunks)
    way = chance.randrange(4)
    if way == 0:
        target.write_bytes(mutated(target.read_bytes(), chance))
        return
    target.unlink()
    if way == 1:
        os.mkfifo(target)
    elif way == 2:
        target.symlink_to("/dev/zero")
    else:
        target.mkdir()


def _spoil_value(value: Any, chance: random.Random) -> None:
    """Put something else into a place of nested JSON."""
    places = []
    waiting = [value]
    while waiting:
        here = waiting.pop()
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        for key in keys:
            places.append((here, key))
            if isinstance(here[key], (dict, list)):
                waiting.append(here[key])
    if not places:
        return
    here, key = chance.choice(places)
    if chance.random() < 0.15:
        del here[key]
    else:
        here[key] = chance.choice(TEXTS)
