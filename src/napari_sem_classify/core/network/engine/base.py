"""What every engine does, whichever backend it stands on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.image.intensity import IntensityRange

if TYPE_CHECKING:
    from napari_sem_classify.core.network.engine.request_stream import RequestStream
    from napari_sem_classify.core.network.engine.stream import TileStream
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
    network_px : int
        Side of the network's input for a tile.
    checked : mapping or None
        For a record: how an arithmetic that is not always good enough was checked.
    """

    backend: str
    device: str
    dtype: str
    batch_size: int
    feature_size: int
    network_px: int
    checked: Mapping[str, Any] | None

    @property
    def stream(self) -> TileStream | RequestStream | None:
        """The faster way for a whole sweep, with several batches on their way, where there is one.

        It takes regions of an image and cuts the tiles, on a GPU there. Where it `reads_off` it
        may be asked for a readout in place of features.
        """
        ...

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
