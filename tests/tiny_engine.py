"""A small real network behind the engine's interface, so that tests run in milliseconds."""

from __future__ import annotations

import numpy as np

from napari_sem_classify.core.model.card import ClassInfo, ModelCard
from napari_sem_classify.core.model.head import Head, TileClassifier

FEATURES = 8


class TinyEngine:
    """Two convolutions, pooled. Feature 0 is the tile's mean grey value after the stretch."""

    backend, device, dtype = "torch", "CPU", "float32"
    feature_size = FEATURES
    network_px, stream, checked = 32, None, None

    def __init__(self, batch_size=16):
        import torch

        self.batch_size = batch_size
        self.calls = 0
        generator = torch.Generator().manual_seed(0)
        self.first = torch.nn.Conv2d(1, 8, 3, stride=2, padding=1)
        self.second = torch.nn.Conv2d(8, FEATURES - 1, 3, stride=2, padding=1)
        with torch.no_grad():
            for layer in (self.first, self.second):
                layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) / 3)
                layer.bias.zero_()

    def embed(self, batch, intensity):
        import torch

        assert batch.dtype in (np.uint8, np.uint16)
        assert batch.ndim == 3
        assert 0 < len(batch) <= self.batch_size
        self.calls += 1
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # for work this small, waiting for one another takes longer
        try:
            with torch.inference_mode():
                pixels = torch.from_numpy(batch.astype(np.float32))[:, None]
                pixels = ((pixels - intensity.low) / (intensity.high - intensity.low)).clamp(0, 1)
                if intensity.per_tile:
                    spread, mean = torch.std_mean(pixels, dim=(2, 3), keepdim=True)
                    pixels = (0.5 + 0.22 * (pixels - mean) / spread.clamp(min=0.02)).clamp(0, 1)
                deep = self.second(self.first(pixels).relu()).relu().mean(dim=(2, 3))
                return torch.cat([pixels.mean(dim=(1, 2, 3))[:, None], deep], dim=1).numpy()
        finally:
            torch.set_num_threads(threads)


def brightness_classifier(tile_px=16, pixel_size_nm=None, name="brightness", threshold=0.5):
    """Two classes, told apart by the tile's mean grey value: "dark" and "bright"."""
    weight = np.zeros((2, FEATURES), np.float32)
    weight[:, 0] = (-40, 40)
    card = ModelCard(
        name=name,
        classes=(ClassInfo("dark", "#0072b2"), ClassInfo("bright", "#f0e442")),
        tile_px=tile_px,
        network_px=32,
        pixel_size_nm=pixel_size_nm,
        backbone_id="tiny",
        backbone_sha256="0" * 64,
    )
    head = Head(
        mean=np.full(FEATURES, threshold, np.float32),
        scale=np.ones(FEATURES, np.float32),
        weight=weight,
        bias=np.zeros(2, np.float32),
    )
    return TileClassifier(card, head)
