"""Archives that should not be believed, each written by a function into an open file."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from typing import BinaryIO

PICTURE = b"\xff\xd8 some picture"


def entry(name: str, content: bytes = PICTURE, **fields: object) -> bytes:
    """One member as it lies in a tar, header and content."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for field, value in fields.items():
        setattr(member, field, value)
    head = member.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
    return head + content + bytes(-len(content) % 512)


def tar(*entries: bytes, end: bytes = bytes(1024)) -> bytes:
    """An archive of these members."""
    return b"".join(entries) + end


GOOD = entry("Tips/good.jpg")


def _special(kind: bytes, link: str = "", name: str = "Tips/b.jpg") -> bytes:
    return tar(GOOD, entry(name, b"", type=kind, linkname=link))


def _extended(records: bytes, size: int | None = None, kind: bytes = b"x") -> bytes:
    head = entry("Tips/PaxHeader", records, type=kind)
    if size is not None:
        member = tarfile.TarInfo("Tips/PaxHeader")
        member.size, member.type = size, kind
        head = member.tobuf(tarfile.GNU_FORMAT) + records + bytes(-len(records) % 512)
    return tar(GOOD, head, entry("Tips/b.jpg"))


def _record(key: str, value: str) -> bytes:
    text = f" {key}={value}\n"
    length = len(text) + 1
    while length != len(str(length)) + len(text):
        length += 1
    return f"{length}{text}".encode()


def _claims(size: int) -> bytes:
    member = tarfile.TarInfo("Tips/b.jpg")
    member.size = size
    return GOOD + member.tobuf(tarfile.GNU_FORMAT) + b"short"


def _many(count: int, name: str, kind: bytes = tarfile.REGTYPE) -> Callable[[BinaryIO], None]:
    def write(file: BinaryIO) -> None:
        block = entry(name, b"", type=kind)
        thousand = block * 1000
        for _ in range(count // 1000):
            file.write(thousand)
        file.write(bytes(1024))

    return write


def _packed(kind: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=f"w:{kind}") as made:
        member = tarfile.TarInfo("Tips/bomb.jpg")
        member.size = 20_000_000
        made.addfile(member, io.BytesIO(bytes(member.size)))
    return file.getvalue()


def _sparse() -> bytes:
    """An old GNU sparse member of a few bytes that unpacks to a terabyte of zeros."""
    member = tarfile.TarInfo("Tips/b.jpg")
    member.type, member.size = tarfile.GNUTYPE_SPARSE, 512
    head = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    head[386:410] = b"00000000000\x0000000001000\x00"
    head[483:495] = b"7" * 11 + b"\x00"
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\x00 " % sum(head)
    return tar(GOOD, bytes(head) + bytes(512))


TARS: dict[str, bytes | Callable[[BinaryIO], None]] = {
    "a link out of the folder": tar(entry("Tips/b.jpg", b"", type=b"2", linkname="/etc/passwd")),
    "a link and a file through it": tar(
        entry("Tips/x", b"", type=b"2", linkname="/tmp"), entry("Tips/x/../../b.jpg")
    ),
    "a hard link out of the folder": tar(
        entry("Tips/b.jpg", b"", type=b"1", linkname="../../mine.jpg")
    ),
    "an absolute name": tar(GOOD, entry("/tmp/outside.jpg")),
    "a name that goes up": tar(GOOD, entry("../outside.jpg")),
    "a name that goes up inside": tar(GOOD, entry("Tips/../../outside.jpg")),
    "a name for Windows": tar(GOOD, entry("Tips/..\\..\\outside.jpg")),
    "a drive": tar(GOOD, entry("Tips/C:outside.jpg")),
    "a name with control letters": tar(GOOD, entry("Tips/\x1b[2J\n.jpg")),
    "a name that is no text": tar(GOOD, entry("Tips/\udcff\udc80.jpg")),
    "a name too long": tar(
        GOOD, entry("./L", b"n" * 400 + b".jpg\0", type=b"L"), entry("Tips/b.jpg")
    ),
    "folders nested deep": _extended(_record("path", "d/" * 3000 + "n" * 300 + ".jpg")),
    "two of one name": tar(GOOD, entry("Tips/deeper/good.jpg")),
    "a block device": tar(entry("Tips/b.jpg", b"", type=b"4")),
    "a character device": tar(entry("Tips/b.jpg", b"", type=b"3")),
    "a FIFO": tar(entry("Tips/b.jpg", b"", type=b"6")),
    "a million files": _many(1_000_000, "Tips/b.txt"),
    "a million folders": _many(1_000_000, "Tips/b", tarfile.DIRTYPE),
    "a million extensions": _many(1_000_000, "Tips/b", tarfile.XHDTYPE),
    "a terabyte": _claims(10**12),
    "less than nothing": _extended(_record("size", "-512")),
    "a size that is no number": _extended(_record("size", "many")),
    "a sparse terabyte": _sparse(),
    "an extension of a terabyte": _extended(b"1", size=10**12),
    "an extension of 3 MB": _extended(_record("comment", "c" * 3_000_000)),
    "a cut in a picture": tar(GOOD, entry("Tips/b.jpg", b"p" * 5000), end=b"")[:-3000],
    "a cut in a header": tar(GOOD, entry("Tips/b.jpg"), end=b"")[: len(GOOD) + 100],
    "a damaged header": tar(GOOD, entry("Tips/b.jpg").replace(b"ustar", b"rasta")),
    "a bomb packed with gzip": _packed("gz"),
    "a bomb packed with bzip2": _packed("bz2"),
    "a bomb packed with xz": _packed("xz"),
    "noise": bytes(range(1, 256)) * 20,
    "a page to sign in": b"<html>sign in</html>" * 100,
    "nothing": b"",
    "no image": tar(entry("Tips/notes.txt")),
    "a packed page": gzip.compress(b"<html>"),
}
"""By what is in them, in words; none of them gives a folder of images."""


def write_tar(name: str, file: BinaryIO) -> None:
    """Write the archive of that name."""
    made = TARS[name]
    if callable(made):
        made(file)
    else:
        file.write(made)
