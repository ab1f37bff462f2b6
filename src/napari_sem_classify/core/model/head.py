"""The linear classifier on a trunk's pooled features, and the model that it makes with its card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.errors import ModelError
from napari_sem_classify.core.model.card import ModelCard
from napari_sem_classify.core.model.stage_heads import StageHeads


@dataclass(frozen=True, slots=True)
class Head:
    """A linear head on standardised features: ``((x - mean) / scale) @ weight.T + bias``.

    Attributes
    ----------
    mean, scale : float32, shape (features,)
        Of a model that looks at the neighbours too, the features are the tile's own and then the
        mean of its neighbours'; see `plane_scores`.
    weight : float32, shape (classes, features)
    bias : float32, shape (classes,)
    usual : float32, shape (features of a tile,), or None
        Of a model that takes an image's mean embedding away: the mean of the images that taught,
        for tiles of which the image is not known.
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    usual: NDArray[np.float32] | None = None

    def logits(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """Logits, shape (N, classes), of features of shape (N, features)."""
        # Standardisation folded into the weights: one product, no N × features temporary.
        with np.errstate(over="ignore", invalid="ignore"):
            weight = self.weight / self.scale
            bias = self.bias - weight @ self.mean
            return np.asarray(features.astype(np.float32, copy=False) @ weight.T + bias)

    def probabilities(
        self, features: NDArray[Any], temperature: float = 1.0
    ) -> NDArray[np.float32]:
        """Softmax of the logits divided by `temperature`, shape (N, classes).

        Raises
        ------
        ModelError
            When they are no numbers: a NaN would pass for a tile that was left out.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            logits = self.logits(features) / np.float32(temperature)
        if not np.isfinite(logits).all():
            raise ModelError(
                "The model gives no numbers for these tiles: its weights are damaged or far too "
                "large; teach or train it again."
            )
        return softmax(logits)


@dataclass(frozen=True, slots=True)
class TileClassifier:
    """A model: its card, its head and, where it was fine-tuned, its own trunk.

    Attributes
    ----------
    trunk : mapping of str to ndarray, or None
        State dict of a fine-tuned trunk in torchvision's ResNet names; None for a taught model,
        which stands on the backbone that its card names.
    path : Path or None
        The file it was read from; None for one that was just made.
    stages : StageHeads or None
        By which it is judged on other specimens, see `transfer`; None where it carries none.
    """

    card: ModelCard
    head: Head
    trunk: Mapping[str, NDArray[Any]] | None = None
    path: Path | None = field(default=None, compare=False)
    stages: StageHeads | None = None


def softmax(logits: NDArray[Any]) -> NDArray[np.float32]:
    """Softmax over the last axis in float64, returned as float32."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    powers = np.exp(shifted)
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), dtype=np.float32)
