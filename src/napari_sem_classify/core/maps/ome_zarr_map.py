"""The class map that an OME-Zarr written by the program keeps beside its picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.common.files import to_json
from napari_sem_classify.core.maps.map_file import SavedMap, describe, restore

CHUNK = 1024
KEPT = "sem_classify"


def read_ome_map(path: Path) -> SavedMap | None:
    """Read the class map of an OME-Zarr written here; None for any other folder.

    Raises
    ------
    ImageError
        When there is one and it is damaged.
    """
    if not (path / KEPT / "zarr.json").is_file():
        return None
    from napari_sem_classify.core.sem_io.zarr_guard import open_guarded, whole_array

    try:
        root = open_guarded(path)
        kept: Any = root[KEPT]
        info = dict(kept.attrs["map"])
        stored: Any = kept.get("probabilities")
        labels = whole_array(path, root["labels/classes/0"])
        known = None if stored is None else whole_array(path, stored).astype(np.float32, copy=False)
    except ImageError:
        raise
    except Exception as error:  # zarr raises what its codecs, JSON and the file system raise
        raise ImageError(
            f"{path} holds a class map that cannot be read ({error}): copy the folder again."
        ) from error
    return restore(
        path, info, labels, lambda shape: None if known is None else known.reshape(shape)
    )


def write_ome_map(root: Any, saved: SavedMap) -> None:
    """Keep a map in the open group of an OME-Zarr."""
    known = saved.first.probabilities
    kept = root.create_group(KEPT)
    kept.attrs["map"] = json.loads(to_json(describe(saved)))
    if saved.first.confidence_known:
        chunks = (*(min(CHUNK, n) for n in known.shape[:2]), known.shape[2])
        kept.create_array("probabilities", data=known, chunks=chunks)
