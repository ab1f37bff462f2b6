"""The engine that a model needs, and the name of its network for the cache of features."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from napari_sem_classify.core.network.embedding_cache import network_key
from napari_sem_classify.core.network.engine.base import Engine

if TYPE_CHECKING:
    from napari_sem_classify.core.model.head import TileClassifier


def engine_for(
    classifier: TileClassifier, device: str = "auto", backend: str = "auto", dtype: str = "auto"
) -> Engine:
    """Give the engine that a model needs: its backbone or own trunk, its stages and input size.

    8-bit arithmetic has to be checked on the user's tiles: see `classify.engine_choice`.

    Raises
    ------
    DeviceError
        When the device or backend is not there.
    ModelError
        When the weights cannot be read or do not fit.
    """
    from napari_sem_classify.core.network.engine.factory import make_engine

    card = classifier.card
    return make_engine(
        network_px=card.network_px,
        stages=card.stages,
        backbone_id=card.backbone_id,
        trunk=classifier.trunk,
        device=device,
        backend=backend,
        dtype=dtype,
    )


def network_of(classifier: TileClassifier) -> str:
    """Name the network of a model; a fine-tuned one is named by its own weights."""
    digest = hashlib.sha256()
    for name, value in sorted((classifier.trunk or {}).items()):
        digest.update(f"{name} {value.dtype} {value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    trunk = digest.hexdigest() if classifier.trunk else ""
    card = classifier.card
    return network_key(card.backbone_id, card.backbone_sha256, card.stages, card.network_px, trunk)
