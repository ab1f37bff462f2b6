"""What it takes to repeat a run: versions, machine, image, model, settings, date."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

from napari_sem_classify.core.image import SemImage
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


class EngineNames(Protocol):
    """What a record says of an engine; every `Engine` is one."""

    @property
    def backend(self) -> str:
        """Either "torch" or "openvino"."""
        ...

    @property
    def device(self) -> str:
        """As shown to the user."""
        ...

    @property
    def dtype(self) -> str:
        """Of the network's arithmetic."""
        ...


def run_record(
    *,
    job: str,
    image: SemImage | None = None,
    card: ModelCard | None = None,
    engine: EngineNames | None = None,
    settings: Mapping[str, Any] | None = None,
    seconds: float | None = None,
) -> dict[str, Any]:
    """Collect what it takes to repeat a run, as plain JSON values.

    Parameters
    ----------
    job : str
        What was done: "classify", "teach", "tile".
    image, card, engine : optional
        What it was done to and with.
    settings : mapping, optional
        The user's choices that are not in the others.
    seconds : float, optional
        Wall-clock time of the run.

    Returns
    -------
    dict
        ``job``, ``date`` (UTC, ISO 8601), ``versions`` (None for a package that is not
        installed), ``platform``, and where given ``image``, ``model``, ``engine``, ``settings``,
        ``seconds``.
    """
    record: dict[str, Any] = {
        "job": job,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **versions()},
        "platform": platform.platform(),
    }
    if image is not None:
        record["image"] = {
            "name": image.name,
            "path": None if image.path is None else str(image.path),
            "sha256": file_sha256(image.path),
        }
    if card is not None:
        record["model"] = {
            "name": card.name,
            "kind": card.kind,
            "backbone": card.backbone_id,
            "backbone_sha256": card.backbone_sha256,
        }
    if engine is not None:
        record["engine"] = {
            "backend": engine.backend,
            "device": engine.device,
            "dtype": engine.dtype,
        }
    if settings:
        record["settings"] = dict(settings)
    if seconds is not None:
        record["seconds"] = round(seconds, 3)
    return record


def versions() -> dict[str, str | None]:
    """Versions of this program and of what its results depend on; loads none of them."""
    found: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def file_sha256(path: Path | None) -> str | None:
    """SHA-256 of a file in hexadecimal; None for a folder (zarr) or where there is no file."""
    if path is None or not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
