"""What a vendor's module may look at: the file's tags and the text files beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MAX_SIDECAR_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Source:
    """An opened file as vendors' modules see it: plain values, no open handle.

    Attributes
    ----------
    path : Path
    shape : (int, int)
        Rows and columns of one plane, info bar included.
    tags : mapping of int to value
        TIFF tags of the first page, as tifffile parses them; {} for other formats.
    imagej : mapping or None
        ImageJ's own metadata (`tifffile.TiffFile.imagej_metadata`).
    ome_xml : str or None
        OME-XML of the file.
    """

    path: Path
    shape: tuple[int, int]
    tags: Mapping[int, Any] = field(default_factory=dict)
    imagej: Mapping[str, Any] | None = None
    ome_xml: str | None = None

    def text_of(self, code: int) -> str | None:
        """A TIFF tag's value as text, None where it is absent or not text."""
        value = self.tags.get(code)
        if isinstance(value, bytes):
            return decode(value)
        return value if isinstance(value, str) else None

    def sidecar(self, *names: str) -> str | None:
        """Text of the first file of these names that lies beside the image.

        ``{name}`` stands for the file's name, ``{stem}`` for its name without the suffix,
        ``{suffix}`` for the suffix without its dot. Case does not matter.
        """
        own = {"name": self.path.name, "stem": self.path.stem, "suffix": self.path.suffix[1:]}
        for name in (each.format_map(own) for each in names):
            # Microscope PCs write .TXT as readily as .txt.
            for variant in dict.fromkeys((name, name.lower(), name.upper(), _upper_suffix(name))):
                text = read_text(self.path.parent / variant)
                if text is not None:
                    return text
        return None


def read_text(path: Path) -> str | None:
    """Text of a small file in whichever encoding it has; None where there is none to read."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_SIDECAR_BYTES:
            return None
        return decode(path.read_bytes())
    except (OSError, ValueError):
        return None


def decode(data: bytes) -> str:
    """Text from bytes of unknown encoding, as microscopes' computers write it.

    UTF-16 with or without its mark, UTF-8, Shift-JIS, else Windows' Western code page.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace")
    if data[:3] == b"\xef\xbb\xbf":
        return data[3:].decode("utf-8", errors="replace")
    head = data[:400]
    if len(head) >= 8 and head[1::2].count(0) > 0.8 * len(head[1::2]):
        return data.decode("utf-16-le", errors="replace")
    if len(head) >= 8 and head[0::2].count(0) > 0.8 * len(head[0::2]):
        return data.decode("utf-16-be", errors="replace")
    for encoding in ("utf-8", "shift_jis", "cp1252"):
        # Bytes that begin kana, Greek (μ) and signs in Shift-JIS are hardly used in the West.
        if encoding == "shift_jis" and not any(byte in data for byte in range(0x81, 0x85)):
            continue
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")


def _upper_suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}{dot}{suffix.upper()}"
