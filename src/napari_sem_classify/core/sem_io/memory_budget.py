"""What may be opened and how much decoded at once, so that a file that lies does no harm."""

from __future__ import annotations

import stat
from pathlib import Path

from napari_sem_classify.core.common.errors import ImageError

ALWAYS_FINE_BYTES = 256 * 2**20
# Noise keeps SEM images below about 5 to 1; label masks reach some hundred, bombs a thousand.
PLAUSIBLE_RATIO = 100
SHARE_OF_MEMORY = 0.25
MOST_DECODED_BYTES = 2 * 2**30
INFLATE_PIECE_BYTES = 2**20
# A strip or chunk may be stored larger than its pixels (noise, a whole file's tables), not by much.
SPARE_BYTES = 2**20


def check_regular(path: Path) -> None:
    """Refuse what is no file of bytes: a pipe never ends, a device may do anything.

    Raises
    ------
    ImageError
        When it is not there, or a pipe, socket, device or a link to one.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ImageError(
            f"{path} cannot be read ({why}): check the name and its rights."
        ) from error
    if not stat.S_ISREG(mode):
        raise ImageError(
            f"{path} is not a file with an image (a pipe, socket or device): choose a file."
        )


def check_decoded_size(path: Path, decoded: int, stored: int, peak: int = 0) -> None:
    """Refuse to decode what would not fit, or what claims far more than it can hold.

    Parameters
    ----------
    decoded, stored : int
        Bytes of the pixels in memory and in the file.
    peak : int
        Most bytes held while they are decoded, where that is more.

    Raises
    ------
    ImageError
        In one sentence, when the size is not believable or larger than the free memory allows.
    """
    peak = max(decoded, peak)
    if peak <= ALWAYS_FINE_BYTES:
        return
    if decoded > PLAUSIBLE_RATIO * max(stored, 1):
        raise ImageError(
            f"{path} claims {_size(decoded)} of pixels in {_size(stored)} of data, which no SEM "
            "image does: the file is damaged or not safe to open."
        )
    check_fits(path, peak, "save it as a tiled or uncompressed TIFF, or as OME-Zarr")


def check_fits(path: Path, needed: int, advice: str) -> None:
    """Refuse what would take `needed` bytes of memory where that is beyond the budget.

    Raises
    ------
    ImageError
        With `advice` as the end of its sentence.
    """
    limit = decoding_budget() if needed > ALWAYS_FINE_BYTES else needed
    if needed > limit:
        raise ImageError(
            f"{path} would take {_size(needed)} of memory and {_size(limit)} can be used: {advice}."
        )


def decoding_budget() -> int:
    """Most bytes that an image which is not read by region may take in memory."""
    return min(MOST_DECODED_BYTES, int(SHARE_OF_MEMORY * available_memory()))


def most_unpacked(expected: int) -> int:
    """Most bytes that a strip, tile or chunk of `expected` bytes of pixels may unpack to."""
    return 2 * expected + SPARE_BYTES


def unpacks_too_far(path: Path) -> ImageError:
    """The sentence for data that holds more than its pixels can."""
    return ImageError(
        f"{path} unpacks to more than the image it claims to be: the file is damaged or not safe "
        "to open."
    )


def inflates_beyond(data: bytes, codec: str, limit: int) -> bool:
    """Whether data of the codec "zlib" or "lzma" holds more than `limit` bytes, piece by piece."""
    import lzma
    import zlib

    total = 0
    try:
        if codec == "lzma":
            lzma_unpacker = lzma.LZMADecompressor()
            rest = data
            while total <= limit and not lzma_unpacker.eof:
                piece = lzma_unpacker.decompress(rest, INFLATE_PIECE_BYTES)
                if not piece and lzma_unpacker.needs_input:
                    break
                total, rest = total + len(piece), b""
        else:
            unpacker = zlib.decompressobj()
            rest = data
            while total <= limit and rest and not unpacker.eof:
                total += len(unpacker.decompress(rest, INFLATE_PIECE_BYTES))
                rest = unpacker.unconsumed_tail
    except (zlib.error, lzma.LZMAError):
        return False  # damaged, not dangerous: the decoder will say so
    return total > limit


def available_memory() -> int:
    """Bytes of memory that can be had without swapping."""
    import psutil  # type: ignore[import-untyped]

    return int(psutil.virtual_memory().available)


def _size(n_bytes: int) -> str:
    if n_bytes >= 2**30:
        return f"{n_bytes / 2**30:.1f} GB"
    return f"{max(n_bytes / 2**20, 0.01):.2g} MB" if n_bytes < 10 * 2**20 else f"{n_bytes >> 20} MB"
