"""Images in the formats that RosettaSciIO reads, written and opened: shape, pixels, pixel size.

    pip install 'napari-sem-classify[rsciio]' h5py && python benchmarks/rosetta_files.py

Where RosettaSciIO writes a format, it writes the file; DM3 (grey and RGB) and SER are written here
after the layout of their files. A row a format: what came back, and whether the pixels are those
that were written (SER stores its rows from the bottom up).
"""

from __future__ import annotations

import struct
import tempfile
from importlib import import_module
from pathlib import Path

import numpy as np

from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.core.sem_io import open_image

ROWS, COLS, NM = 96, 128, 12.5
GREY = np.random.default_rng(0).integers(0, 255, (ROWS, COLS), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 255, (ROWS, COLS, 3), dtype=np.uint8)
# Module, suffix and a type that its writer takes.
WRITERS = [
    ("ripple", "rpl", "u1"),
    ("semper", "unf", "f4"),
    ("pantarhei", "prz", "f4"),
    ("digitalsurf", "sur", "i4"),
    ("emd", "emd", "u1"),
]


def signal(data: np.ndarray) -> dict:
    axes = [
        {"size": size, "name": name, "units": "nm", "scale": NM, "offset": 0.0, "navigate": False}
        | {"index_in_array": at, "_type": "UniformDataAxis", "is_binned": False}
        for at, (size, name) in enumerate(zip(data.shape, "yx", strict=True))
    ]
    metadata = {"General": {"title": "t"}, "Signal": {"signal_type": ""}}
    kept = {"_lazy": False, "ragged": False, "metadata": metadata, "original_metadata": {}}
    return {"data": data, "axes": axes, "metadata": metadata, "original_metadata": {}} | {
        "attributes": kept,
        **{"package": "p", "package_version": "1", "tmp_parameters": {}},
        **{"models": {}, "learning_results": {}},
    }


def ser() -> bytes:
    """A TIA series of one image: header, offsets, one element, its tag."""
    start = struct.pack("<HHHIIII", 0x4949, 0x0197, 0x0210, 0x4122, 0x4152, 1, 1)
    dimension = struct.pack("<IddII", 1, 0.0, 1.0, 0, 6) + b"Number" + struct.pack("<I", 0)
    offsets = len(start) + 8 + len(dimension)
    element = offsets + 8
    axis = struct.pack("<ddI", 0.0, NM * 1e-9, 0)
    pixels = axis + axis + struct.pack("<HII", 2, COLS, ROWS) + GREY.astype("<u2").tobytes()
    places = struct.pack("<II", element, element + len(pixels))
    head = start + struct.pack("<II", offsets, 1) + dimension
    return head + places + pixels + struct.pack("<HI", 0x4152, 0) + bytes(4)


def dm3(pixels: np.ndarray) -> bytes:
    """A DigitalMicrograph 3 file of one image: tags big-endian, their values little-endian."""
    big, codes = ">I", {3: "<i", 4: "<H", 5: "<I", 6: "<f", 8: "<?"}

    def tag(kind: int, name: str, body: bytes) -> bytes:
        return bytes([kind]) + struct.pack(">H", len(name)) + name.encode() + body

    def value(name: str, code: int, number: float) -> bytes:
        body = b"%%%%" + struct.pack(">II", 1, code) + struct.pack(codes[code], number)
        return tag(21, name, body)

    def array(name: str, code: int, numbers: np.ndarray) -> bytes:
        head = b"%%%%" + struct.pack(big, 3) + struct.pack(">III", 20, code, numbers.size)
        return tag(21, name, head + numbers.tobytes())

    def text(name: str, words: str) -> bytes:
        return array(name, 4, np.frombuffer(words.encode("utf-16-le"), "<u2"))

    def listed(items: list[bytes]) -> bytes:
        return b"\x01\x00" + struct.pack(big, len(items)) + b"".join(items)

    def group(name: str, *items: bytes) -> bytes:
        return tag(20, name, listed(list(items)))

    def axis(name: str, scale: float, unit: str) -> bytes:
        return group(name, value("Origin", 6, 0.0), value("Scale", 6, scale), text("Units", unit))

    if pixels.ndim == 3:
        stored = np.zeros((ROWS, COLS, 4), np.uint8)
        stored[..., :3] = pixels[..., ::-1]
        data, kind, depth = array("Data", 5, stored.view("<u4").ravel()), 23, 4
    else:
        data, kind, depth = array("Data", 4, pixels.astype("<u2").ravel()), 10, 2
    calibrations = group(
        "Calibrations",
        axis("Brightness", 1.0, ""),
        group("Dimension", axis("", NM, "nm"), axis("", NM, "nm")),
        value("DisplayCalibratedUnits", 8, True),
    )
    size = group("Dimensions", value("", 5, COLS), value("", 5, ROWS))
    image = group(
        "",
        group(
            "ImageData",
            *(calibrations, data, value("DataType", 5, kind), size, value("PixelDepth", 5, depth)),
        ),
        group("ImageTags"),
        text("Name", "t"),
        group("UniqueID", value("", 5, 1)),
    )
    root = listed(
        [
            value("ApplicationBounds", 5, 0),
            group("DocumentObjectList", group("", value("ImageSource", 5, 0))),
            group("ImageList", image),
            group("ImageSourceList", group("", value("ImageRef", 5, 0))),
        ]
    )
    return struct.pack(">III", 3, len(root) + 8, 1) + root + bytes(8)


def main() -> int:
    """Write, open and compare one file of each format."""
    print(f"{'file':<10}{'shape':<14}{'type':<10}{'nm/px':>8}  pixels")
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {"g.dm3": (dm3(GREY), GREY), "rgb.dm3": (dm3(COLOUR), COLOUR)}
        files["a.ser"] = (ser(), GREY[::-1])
        expected = {}
        for file, (content, pixels) in files.items():
            (folder / file).write_bytes(content)
            expected[folder / file] = pixels
        for module, suffix, dtype in WRITERS:
            path = folder / f"a.{suffix}"
            import_module(f"rsciio.{module}").file_writer(str(path), signal(GREY.astype(dtype)))
            expected[path] = GREY
        for path, pixels in expected.items():
            try:
                image = open_image(path)
                found = np.asarray(image.data[...])
            except SemClassifyError as error:
                print(f"{path.name:<10}{error}")
                failed += 1
                continue
            same = found.size == pixels.size and np.array_equal(found.reshape(pixels.shape), pixels)
            failed += not same
            shape, size = f"{image.shape[0]} × {image.shape[1]}", image.pixel_size_nm or 0.0
            verdict = "same" if same else "differ"
            print(f"{path.name:<10}{shape:<14}{image.dtype!s:<10}{size:>8g}  {verdict}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
