"""What every engine does, whichever backend it stands on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.image.intensity import IntensityRange

if TYPE_CHECKING:
    from napari_sem_classify.core.tiles.cut import Cut
    from napari_sem_classify.core.tiles.dense_blocks import Span


class Engine(Protocol):
    """Turns tiles into pooled features at one network input size.

    Attributes
    ----------
    backend : str
        "torch" or "openvino".
    device : str
        As shown to the user: "CPU", "NVIDIA H100", "Apple GPU".
    dtype : str
        Of the network's arithmetic: "float32", "bfloat16", "float16".
    batch_size : int
        Tiles per call that suit the device.
    feature_size : int
        Length of a tile's features.
    """

    backend: str
    device: str
    dtype: str
    batch_size: int
    feature_size: int

    def embed(self, batch: NDArray[Any], intensity: IntensityRange) -> NDArray[np.float32]:
        """Pooled features of a batch of tiles.

        Stretch, grey to network input, antialiased resize and normalisation happen on the device.

        Parameters
        ----------
        batch : uint8 or uint16, shape (N, H, W)
            N at most `batch_size`; a short batch is padded inside.
        intensity : IntensityRange
            Grey values that become 0 and 1, in units of `batch`.

        Returns
        -------
        float32, shape (N, feature_size)
        """
        ...


class CuttingEngine(Engine, Protocol):
    """An engine that can also cut the tiles out of the image's regions.

    Attributes
    ----------
    cuts : bool
        Whether that is faster than tiles that were cut before.
    """

    cuts: bool

    def embed_cuts(
        self, cuts: Sequence[Cut], tile: int, intensity: IntensityRange
    ) -> NDArray[np.float32]:
        """Features of tiles in regions; see `PreparingEngine`."""
        ...


class DenseEngine(Engine, Protocol):
    """An engine that can also look at a large block at once.

    Attributes
    ----------
    network_px : int
        Side of the network's input for a tile.
    """

    network_px: int

    def embed_block(
        self, pixels: NDArray[Any], intensity: IntensityRange, rows: Span, cols: Span
    ) -> NDArray[np.float32]:
        """What a block's core contributes to its tiles' features; see `PreparingEngine`."""
        ...
