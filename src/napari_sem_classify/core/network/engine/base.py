"""What every engine does, whichever backend it stands on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.image.intensity import IntensityRange

if TYPE_CHECKING:
    from napari_sem_classify.core.tiles.dense_blocks import Span
    from napari_sem_classify.core.tiles.tile_source import Cut


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
    network_px : int
        Side of the network's input for a tile.
    cuts : bool
        Whether regions of an image, out of which it cuts the tiles, are faster than tiles.
    checked : mapping or None
        For a record: how an arithmetic that is not always good enough was checked.
    """

    backend: str
    device: str
    dtype: str
    batch_size: int
    feature_size: int
    network_px: int
    cuts: bool
    checked: Mapping[str, Any] | None

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

    def embed_cuts(
        self, cuts: Sequence[Cut], tile: int, intensity: IntensityRange
    ) -> NDArray[np.float32]:
        """Pooled features of tiles that the device cuts out of regions of an image.

        Parameters
        ----------
        cuts : sequence of Cut
            At least one; a region that the last call had too is not copied again.
        tile : int
            Side of a tile in px.
        intensity : IntensityRange
            In units of the regions.

        Returns
        -------
        float32, shape (N, feature_size)
            In the order of the cuts.
        """
        ...

    def embed_block(
        self, pixels: NDArray[Any], intensity: IntensityRange, rows: Span, cols: Span
    ) -> NDArray[np.float32]:
        """Features of the tiles in a block, from one run of the network over it.

        Parameters
        ----------
        pixels : uint8 or uint16, shape (rows.last - rows.first, cols.last - cols.first)
        intensity : IntensityRange
            In units of `pixels`; without `per_tile`.
        rows, cols : Span
            Where the block lies and which tiles share pixels with its core.

        Returns
        -------
        float32, shape (rows' tiles, columns' tiles, feature_size)
            What the core contributes: tiles that reach over several cores are their sum.
        """
        ...
