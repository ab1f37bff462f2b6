"""The network of a model by name, for the cache of features."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from napari_sem_classify.core.network.embedding_cache import network_key

if TYPE_CHECKING:
    from napari_sem_classify.core.model.head import TileClassifier


def network_of(classifier: TileClassifier) -> str:
    """Name the network of a model; a fine-tuned one is named by its own weights."""
    digest = hashlib.sha256()
    for name, value in sorted((classifier.trunk or {}).items()):
        digest.update(f"{name} {value.dtype} {value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    trunk = digest.hexdigest() if classifier.trunk else ""
    card = classifier.card
    return network_key(card.backbone_id, card.backbone_sha256, card.stages, card.network_px, trunk)
