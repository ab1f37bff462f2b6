"""How large a picture is by its own header, for those that lie in a TIFF's strips and tiles.

Their decoders make as much memory as the header asks for, whatever the strip was to hold.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

Size = tuple[int, int, int]
MANY = 2**20


def picture_size(data: bytes, codec: int) -> Size | None:
    """Rows, columns and samples that a strip or tile claims; None where it is no such picture.

    Parameters
    ----------
    codec : int
        TIFF's Compression.
    """
    read = _READERS.get(codec)
    try:
        return None if read is None else read(data)
    except (struct.error, IndexError):
        return None  # cut short: the decoder will say so


def _jpeg(data: bytes) -> Size | None:
    """The frame header, looked for as libjpeg does: what is no marker is passed over (T.81)."""
    at = 2
    while True:
        at = data.find(b"\xff", at)
        if at < 0:
            return None
        marker = data[at + 1]
        at += 1
        if marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD8:
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            rows, cols, parts = struct.unpack_from(">HHB", data, at + 4)
            return rows, cols, parts
        at += 1 + max(2, int.from_bytes(data[at + 1 : at + 3], "big"))


def _jpeg_2000(data: bytes) -> Size | None:
    """The SIZ marker of the codestream, which may lie in boxes (T.800, A.5.1 and I.4)."""
    at = 0
    if not data.startswith(b"\xff\x4f"):
        at = _box(data, b"jp2c")
        if at < 0:
            return None
    right, bottom, left, top = struct.unpack_from(">IIII", data, at + 8)
    (parts,) = struct.unpack_from(">H", data, at + 40)
    return max(0, bottom - top), max(0, right - left), parts


def _box(data: bytes, *names: bytes) -> int:
    """Where the contents of the first box of a name begin; -1 where there is none."""
    at = 0
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        head = 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, at + 8)
            head = 16
        if name in names:
            return at + head
        at += max(head, length) if length else len(data)
    return -1


def _png(data: bytes) -> Size | None:
    if data[12:16] != b"IHDR":
        return None
    cols, rows, depth, kind = struct.unpack_from(">IIBB", data, 16)
    return rows, cols, {2: 3, 4: 2, 6: 4}.get(kind, 1) * (1 + (depth == 16))


def _webp(data: bytes) -> Size | None:
    """The canvas, or the one picture of the simple formats (RFC 9649)."""
    kind = data[12:16]
    if kind == b"VP8X":
        cols, rows = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    elif kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        cols, rows = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        cols, rows = (n & 0x3FFF for n in struct.unpack_from("<HH", data, 26))
    else:
        return None
    return rows, cols, 3


def _jpeg_xl(data: bytes) -> Size | None:
    """The SizeHeader of the codestream (ISO/IEC 18181-1, annex D), which may lie in boxes."""
    at = 0
    if not data.startswith(b"\xff\x0a"):
        at = _box(data, b"jxlc")
        if at < 0:
            at = _box(data, b"jxlp")
            if at < 0:
                return None
            at += 4  # number of the part
    bits, used = int.from_bytes(data[at + 2 : at + 14], "little"), 0

    def take(count: int) -> int:
        nonlocal used
        used += count
        return bits >> (used - count) & (1 << count) - 1

    small = take(1)

    def length() -> int:
        return 8 * (take(5) + 1) if small else take((9, 13, 18, 30)[take(2)]) + 1

    def size() -> tuple[int, int]:
        rows = length()
        ratio = take(3)
        if not ratio:
            return rows, length()
        up, down = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio - 1]
        return rows, rows * up // down

    rows, cols = size()
    usual = take(1)  # else the metadata may tell of a film, all of which would be decoded
    if usual or not take(1):
        return rows, cols, 1
    take(3)  # orientation
    if take(1):  # a size to be shown at; a preview is not looked for behind it
        return rows, cols, 1
    has_preview = take(1)
    return rows, cols, MANY if has_preview or take(1) else 1


def _jpeg_xr(data: bytes) -> Size | None:
    """The image header of the codestream (T.832, 8.3)."""
    sizes = []
    at = data.find(b"WMPHOTO\0")
    while at >= 0:  # the first may be one in the metadata
        short = data[at + 10] >> 7
        cols, rows = struct.unpack_from(">HH" if short else ">II", data, at + 12)
        sizes.append((rows + 1, cols + 1, 1))
        at = data.find(b"WMPHOTO\0", at + 1)
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


def _lerc(data: bytes) -> Size | None:
    """The header of the first band, and as many bands as follow (Esri's Lerc2, versions 1 to 6)."""
    first, bands, at = None, 0, 0
    while data.startswith(b"Lerc2 ", at):
        (version,) = struct.unpack_from("<i", data, at + 6)
        where = at + (14 if version >= 3 else 10)  # there is a checksum before it
        rows, cols = struct.unpack_from("<ii", data, where)
        (depth,) = struct.unpack_from("<i", data, where + 8) if version >= 4 else (1,)
        (length,) = struct.unpack_from("<i", data, where + (20 if version >= 4 else 16))
        first = first or (rows, cols, max(1, depth))
        bands += 1
        at += max(1, length)
    return None if first is None else (first[0], first[1], first[2] * bands)


_READERS: dict[int, Callable[[bytes], Size | None]] = {
    **dict.fromkeys((6, 7, 33007, 34892), _jpeg),
    **dict.fromkeys((33003, 33004, 33005, 34712), _jpeg_2000),
    **dict.fromkeys((22610, 34934), _jpeg_xr),
    **dict.fromkeys((50002, 52546), _jpeg_xl),
    **dict.fromkeys((34927, 50001), _webp),
    34887: _lerc,
    34933: _png,
}
