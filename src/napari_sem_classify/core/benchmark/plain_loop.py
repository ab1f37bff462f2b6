"""The loop as it is usually written, to measure beside."""

from __future__ import annotations

import time
from itertools import islice
from typing import Any

from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.tiles.grid import TileGrid

PLAIN_LOOP_PX = 224
PLAIN_LOOP_BATCH = 32
N_CLASSES = 3


def plain_loop_rate(image: SemImage, grid: TileGrid, n_tiles: int, device: str) -> float:
    """Tiles per second of the loop that is usually written, model and image already loaded.

    The image lies in memory; each tile is cut, turned into an RGB picture, resized by PIL,
    normalised, collected by a `DataLoader` in this process and run in float32.
    """
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset

    from napari_sem_classify.core.image import intensity
    from napari_sem_classify.core.network.backbone import backbone_info, load_backbone
    from napari_sem_classify.core.network.torchvision_compat import import_torchvision

    import_torchvision()
    from torchvision import transforms

    info = backbone_info()
    measured = intensity.measure_range(image, intensity.IntensityRecipe())
    pixels = intensity.stretch_to_uint8(image.read(image.area), measured)
    top, left = image.area.top, image.area.left
    windows = list(islice(grid.windows(), n_tiles))
    resize = transforms.Resize((PLAIN_LOOP_PX, PLAIN_LOOP_PX))
    normalise = transforms.Normalize(info.scaling.mean, info.scaling.std)
    steps = transforms.Compose([resize, transforms.ToTensor(), normalise])

    class Tiles(Dataset[Any]):
        def __len__(self) -> int:
            return len(windows)

        def __getitem__(self, number: int) -> Any:
            at = windows[number]
            tile = pixels[at.top - top : at.bottom - top, at.left - left : at.right - left]
            return steps(Image.fromarray(tile).convert("RGB"))

    network = load_backbone().to(device)
    head = torch.nn.Linear(info.architecture.feature_sizes[-1], N_CLASSES).to(device)
    with torch.no_grad():
        head(network(torch.zeros(1, 3, PLAIN_LOOP_PX, PLAIN_LOOP_PX, device=device)))
        start = time.perf_counter()
        classes = [
            head(network(batch.to(device))).softmax(dim=1).argmax(dim=1).cpu()
            for batch in DataLoader(Tiles(), batch_size=PLAIN_LOOP_BATCH)
        ]
        elapsed = time.perf_counter() - start
    return sum(len(some) for some in classes) / elapsed
