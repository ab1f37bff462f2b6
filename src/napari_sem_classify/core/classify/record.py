"""What it takes to repeat a run: versions, machine, image, model, settings, date."""

from __future__ import annotations

import base64
import hashlib
import os
import platform
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.model.card import ModelCard

PACKAGES = (
    "napari-sem-classify",
    "numpy",
    "torch",
    "torchvision",
    "fastai",
    "openvino",
    "scikit-learn",
    "tifffile",
    "zarr",
)
HASHED_BYTES = 1 << 30
"""Files up to this size are named by the SHA-256 of all they hold, larger ones by a sample."""
SAMPLES = 256
SAMPLE_BYTES = 1 << 16
MOST_NAMES = 50_000


class EngineNames(Protocol):
    """What a record says of an engine; every `Engine` is one."""

    @property
    def backend(self) -> str:
        """Either "torch" or "openvino"."""

    @property
    def device(self) -> str:
        """As shown to the user."""

    @property
    def dtype(self) -> str:
        """Of the network's arithmetic."""


def run_record(
    *,
    job: str,
    card: ModelCard | None = None,
    engine: EngineNames | None = None,
    settings: Mapping[str, Any] | None = None,
    seconds: float | None = None,
) -> dict[str, Any]:
    """Collect what it takes to repeat a run, as plain JSON values.

    Parameters
    ----------
    job : str
        What was done: "classify", "teach".
    card, engine : optional
        What it was done with.
    settings : mapping, optional
        The user's choices that are not in the others.
    seconds : float, optional
        Wall-clock time of the run.

    Returns
    -------
    dict
        ``job``, ``date`` (UTC, ISO 8601), ``versions`` (None for a package that is not
        installed), ``platform``, and where given ``model``, ``engine``, ``settings``, ``seconds``.
    """
    record: dict[str, Any] = {
        "job": job,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **versions()},
        "platform": platform.platform(),
    }
    if card is not None:
        record["model"] = {
            "name": card.name,
            "kind": card.kind,
            "backbone": card.backbone_id,
            "backbone_sha256": card.backbone_sha256,
        }
    if engine is not None:
        record["engine"] = {key: getattr(engine, key) for key in ("backend", "device", "dtype")}
    if settings:
        record["settings"] = dict(settings)
    if seconds is not None:
        record["seconds"] = round(seconds, 3)
    return record


def versions() -> dict[str, str | None]:
    """Versions of this program and of what its results depend on; loads none of them."""
    return {name: _version(name) for name in PACKAGES}


@cache  # looked up for every map: it takes as long as the network needs for a few tiles
def _version(name: str) -> str | None:
    with suppress(PackageNotFoundError):
        return version(name)
    return None


def image_facts(image: SemImage) -> dict[str, Any]:
    """What a record says of an image: name, file, its content's hash, shape and calibration."""
    return {
        "name": image.name,
        "path": None if image.path is None else str(image.path),
        **content_hash(image.path),
        "shape": [*image.leading_shape, *image.shape],
        "level": image.level,
        "dtype": str(image.dtype),
        "pixel_size_nm": image.pixel_size_nm,
        "pixel_size_source": image.pixel_size_source,
    }


def file_sha256(path: Path | None) -> str | None:
    """SHA-256 of a file in hexadecimal; None for a folder (zarr) or where there is no file."""
    if path is None or not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_hash(path: Path | None) -> dict[str, str | None]:
    """Name what a file or a folder (zarr) holds, in bounded time; a copy has the same name.

    Returns
    -------
    dict
        ``sha256`` of a file of at most `HASHED_BYTES`; of a larger one ``sampled_sha256``, which is
        of its size and of `SAMPLES` blocks of `SAMPLE_BYTES` spread over it, the first and the last
        among them; of a folder ``sampled_sha256`` over the names and sizes of its first
        `MOST_NAMES` files and the starts of `SAMPLES` of them, its small metadata files
        included. What does not apply is None, and both are where there is nothing to read.
    """
    nothing: dict[str, str | None] = {"sha256": None, "sampled_sha256": None}
    if path is None:
        return nothing
    try:
        state = path.stat()
        if path.is_dir():
            return {**nothing, "sampled_sha256": _folder_sample(path)}
        whole, value = _hashed(path, state.st_size, state.st_mtime_ns)
    except OSError:
        return nothing
    return {**nothing, "sha256" if whole else "sampled_sha256": value}


@lru_cache(maxsize=32)
def _hashed(path: Path, size: int, _changed_ns: int) -> tuple[bool, str]:
    """Whether all of a file was hashed, and the hash; asked once for all planes of a stack."""
    if size <= HASHED_BYTES:
        return True, file_sha256(path) or ""
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for number in range(SAMPLES):
            file.seek((size - SAMPLE_BYTES) * number // (SAMPLES - 1))
            digest.update(file.read(SAMPLE_BYTES))
    return False, digest.hexdigest()


def _folder_sample(folder: Path) -> str:
    files = [(path, path.stat().st_size) for path in islice(_files_in(folder), MOST_NAMES)]
    digest = hashlib.sha256()
    for path, size in files:
        digest.update(f"{path.relative_to(folder).as_posix()} {size}\n".encode())
    about = [path for path, _ in files if path.name in _ZARR_METADATA][:SAMPLES]
    step = max(1, -(-len(files) // SAMPLES))
    for path in [*about, *(path for path, _ in files[::step])]:
        with path.open("rb") as file:
            digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()


_ZARR_METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")


def _files_in(folder: Path) -> Iterator[Path]:
    """All files below a folder, in an order that a copy has too."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            yield Path(parent, name)


def pack_mask(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """A 2-D mask as plain JSON values: shape, True elements, the bits deflated as base64."""
    bits = zlib.compress(np.packbits(mask).tobytes(), 9)
    return {
        "shape": list(mask.shape),
        "kept": int(mask.sum()),
        "bits": base64.b64encode(bits).decode("ascii"),
    }


def unpack_mask(value: Mapping[str, Any]) -> NDArray[np.bool_]:
    """The mask of `pack_mask`.

    Raises
    ------
    ValueError
        When the value is damaged.
    """
    try:
        rows, cols = (int(n) for n in value["shape"])
        count = rows * cols
        packed = base64.b64decode(str(value["bits"]), validate=True)
        # No more than is expected: a record may come from a stranger.
        raw = zlib.decompressobj().decompress(packed, (count + 7) // 8 + 1)
        bits = np.unpackbits(np.frombuffer(raw, np.uint8))[:count]
        mask: NDArray[np.bool_] = bits.reshape(rows, cols).astype(bool)
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise ValueError(f"no mask: {error}") from error
    if rows < 1 or cols < 1 or int(mask.sum()) != value.get("kept"):
        raise ValueError("no mask: its number of elements is another")
    return mask
