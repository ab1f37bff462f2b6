"""How fast this computer classifies tiles, beside its bare network and beside a plain loop."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.common.job import Job, Reporter
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.tiles.dense_blocks import dense_stride
from napari_sem_classify.core.tiles.grid import TileGrid

if TYPE_CHECKING:
    from napari_sem_classify.core.model.head import TileClassifier
    from napari_sem_classify.core.network.engine.base import Engine
    from napari_sem_classify.core.network.engine.pipeline import PreparingEngine

PLAIN_LOOP_PX = 224
PLAIN_LOOP_BATCH = 32
GENERATED_PX = 2048
N_CLASSES = 3


def run_benchmark(
    image: SemImage | None = None,
    tile_px: int = 128,
    network_px: int = 224,
    *,
    classifier: TileClassifier | None = None,
    device: str = "auto",
    backend: str = "auto",
    dtype: str = "auto",
    dense: bool = False,
    repeats: int = 5,
    seconds: float = 6.0,
    plain_loop: bool = True,
    job: Job | None = None,
) -> dict[str, Any]:
    """Measure tiles per second on this computer.

    Three rates, each the median of `repeats` runs that take turns, so that whatever else the
    computer does meets all of them: the whole job (`classify_image`), its network alone on a batch
    that lies ready on the device, and a loop as it is usually written (a `Dataset` that cuts one
    tile at a time with PIL, a `DataLoader`, ResNet50 in float32 at `PLAIN_LOOP_PX`).

    Parameters
    ----------
    image : SemImage, optional
        A generated image where none is given.
    tile_px : int
        Side of a tile in the image, which is also the stride.
    network_px : int
        Side of the network's input. With `classifier` its card decides.
    classifier : TileClassifier, optional
        A model whose network and head are used; else the default backbone and a random head.
    device, backend, dtype : str
        As for `make_engine`; "int8" is checked on the image's tiles first, see `int8_engine`.
    dense : bool
        Whether to time a dense map at its usual stride (32 network px) too, against tiles without
        overlap one by one.
    repeats : int
        Runs of each kind.
    seconds : float
        Aimed length of a run; the number of tiles follows from it and is limited by the image.
    plain_loop : bool
        Whether to run the plain loop too, which is the slowest part.

    Returns
    -------
    dict
        Plain JSON values: `end_to_end_tiles_per_s`, `bare_tiles_per_s`, `plain_loop_tiles_per_s`
        (None where left out), `end_to_end_to_bare`, `end_to_end_to_plain_loop`, `peak_memory_mb`
        and `peak_memory_before_mb` (of the process, with the model, after and before the whole job;
        None where the system does not tell), `backend`, `device`, `dtype`, `batch_size`, `tiles`,
        `tile_px`, `network_px`, `agreement_with_float32` (share of tiles with the same class in
        float32, with a classifier; else None), `compiled` (whether the network was compiled while
        it worked), `dense_to_tiles` (time of a dense map over time tile by tile, both without the
        map's comparison with single tiles; None where left out), `dense_tiles`, `runs`, `machine`.

    Raises
    ------
    DeviceError, ImageError, ModelError
        When the device, the image or the model cannot be used.
    Cancelled
        When the job was asked to stop.
    """
    from napari_sem_classify.core.classify.driver import classify_image
    from napari_sem_classify.core.model.engines import engine_for

    reporter = Reporter(1 + 3 * repeats, "Measuring", job)
    if image is None:
        image = _generated()
    model = classifier or _random_model(tile_px, network_px)
    if dtype == "int8":
        engine = _int8(model, image, tile_px, job)
    else:
        engine = engine_for(model, device, backend, dtype)
    bare = _bare(engine, tile_px)
    rate = bare(2 * engine.batch_size)
    compiled = getattr(engine, "compiled", None)
    if compiled is not None:
        compiled.settle()  # what the user's long runs have
        rate = bare(2 * engine.batch_size)
    image = _cut(image, tile_px, max(engine.batch_size, int(rate * seconds)))
    grid = TileGrid(image.area, tile_px, tile_px)
    memory_before = peak_memory_mb()
    classify_image(image, model, grid, engine=engine, job=job)
    memory = peak_memory_mb()
    reporter.advance()

    n_plain = min(grid.n_tiles, 4 * PLAIN_LOOP_BATCH)
    runs: dict[str, list[float]] = {"end_to_end": [], "bare": [], "plain_loop": []}
    maps: dict[str, list[float]] = {"dense_s": [], "tile_by_tile_s": []}
    fine = replace(grid, stride=dense_stride(tile_px, model.card.network_px))
    if dense:
        _map_seconds(image, model, fine, engine, True, job)  # compiles for the blocks' size
    looked_at = 0
    for _ in range(repeats):
        start = time.perf_counter()
        done = classify_image(image, model, grid, engine=engine, job=job).record["tiles"]
        # Tiles without data never reach the network: counting them would flatter the rate.
        looked_at = int(done["classified"])
        runs["end_to_end"].append(looked_at / (time.perf_counter() - start))
        reporter.advance()
        runs["bare"].append(bare(grid.n_tiles))
        reporter.advance()
        if plain_loop:
            runs["plain_loop"].append(plain_loop_rate(image, grid, n_plain, str(_place(engine))))
        if dense:
            maps["dense_s"].append(_map_seconds(image, model, fine, engine, True, job))
            maps["tile_by_tile_s"].append(_map_seconds(image, model, grid, engine, False, job))
        reporter.advance()

    end_to_end, bare_rate, loop = (_median(runs[kind]) for kind in runs)
    dense_s, tiles_s = (_median(maps[kind], 3) for kind in maps)
    return {
        "end_to_end_tiles_per_s": end_to_end,
        "bare_tiles_per_s": bare_rate,
        "plain_loop_tiles_per_s": loop,
        "end_to_end_to_bare": _ratio(end_to_end, bare_rate),
        "end_to_end_to_plain_loop": _ratio(end_to_end, loop),
        "peak_memory_mb": memory,
        "peak_memory_before_mb": memory_before,
        "backend": engine.backend,
        "device": engine.device,
        "dtype": engine.dtype,
        "batch_size": engine.batch_size,
        "tiles": looked_at,
        "tile_px": tile_px,
        "network_px": model.card.network_px,
        "agreement_with_float32": _agreement(image, model, grid, engine) if classifier else None,
        "compiled": compiled is not None and compiled.in_use,
        "dense_to_tiles": _ratio(dense_s, tiles_s),
        "dense_tiles": fine.n_tiles if dense else None,
        "runs": {
            kind: [round(value, 3) for value in values]
            for kind, values in {**runs, **maps}.items()
            if values
        },
        "machine": machine(),
    }


def plain_loop_rate(image: SemImage, grid: TileGrid, n_tiles: int, device: str) -> float:
    """Tiles per second of the loop that is usually written, model and image already loaded.

    The image lies in memory; each tile is cut, turned into an RGB picture, resized by PIL,
    normalised, collected by a `DataLoader` in this process and run in float32.
    """
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset

    from napari_sem_classify.core.image.intensity import (
        IntensityRecipe,
        measure_range,
        stretch_to_uint8,
    )
    from napari_sem_classify.core.network.backbone import backbone_info, load_backbone
    from napari_sem_classify.core.network.torchvision_compat import import_torchvision

    import_torchvision()
    from torchvision import transforms

    info = backbone_info()
    pixels = image.read(image.area)
    pixels = stretch_to_uint8(pixels, measure_range(image, IntensityRecipe()))
    top, left = image.area.top, image.area.left
    windows = [window for window, _ in zip(grid.windows(), range(n_tiles), strict=False)]
    steps = transforms.Compose(
        [
            transforms.Resize((PLAIN_LOOP_PX, PLAIN_LOOP_PX)),
            transforms.ToTensor(),
            transforms.Normalize(info.scaling.mean, info.scaling.std),
        ]
    )

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


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    from napari_sem_classify.core.classify.record import versions
    from napari_sem_classify.core.network.engine.devices import cpu_name

    return {
        "processor": cpu_name(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions(),
    }


def peak_memory_mb() -> float | None:
    """Largest resident memory of this process so far in megabytes; None where unknown."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak * (1 if sys.platform == "darwin" else 1024) / 1e6, 1)


def _bare(engine: Engine, tile_px: int) -> Callable[[int], float]:
    """Measure the network alone on a batch that lies on the device."""
    import torch

    from napari_sem_classify.core.image.intensity import IntensityRange

    preparing: PreparingEngine = engine  # type: ignore[assignment]  # the only kind that is made
    noise = np.random.default_rng(0).integers(
        0, 256, (engine.batch_size, tile_px, tile_px), dtype=np.uint8
    )

    def rate(n_tiles: int) -> float:
        batches = max(1, round(n_tiles / engine.batch_size))
        with torch.inference_mode():
            prepared = preparing.prepare(noise, IntensityRange(0.0, 255.0))
            start = time.perf_counter()
            for _ in range(batches):
                preparing.run_network(prepared)
            return batches * len(prepared) / (time.perf_counter() - start)

    rate(1)
    return rate


def _int8(model: TileClassifier, image: SemImage, tile_px: int, job: Job | None) -> Engine:
    from napari_sem_classify.core.classify.int8 import int8_engine

    return int8_engine(model, [(image, TileGrid(image.area, tile_px, tile_px))], job=job)


def _map_seconds(
    image: SemImage,
    model: TileClassifier,
    grid: TileGrid,
    engine: Engine,
    dense: bool,
    job: Job | None,
) -> float:
    """Seconds from the image to every tile's class."""
    from napari_sem_classify.core.image.intensity import measure_range
    from napari_sem_classify.core.network.features import features_to, tile_reporter

    start = time.perf_counter()
    intensity = measure_range(image, model.card.intensity)
    reporter = tile_reporter(grid, None, "Measuring", job)
    classes = np.zeros(grid.n_tiles, dtype=np.int64)

    def sink(index: NDArray[np.int64], features: NDArray[Any]) -> None:
        classes[index] = model.head.probabilities(features, model.card.temperature).argmax(axis=1)

    features_to(image, grid, engine, intensity, sink, reporter, None, (), None, None, None, dense)
    return time.perf_counter() - start


def _place(engine: Engine) -> Any:
    return getattr(engine, "torch_device", "cpu")


def _agreement(image: SemImage, model: TileClassifier, grid: TileGrid, engine: Engine) -> float:
    from napari_sem_classify.core.classify.driver import classify_image
    from napari_sem_classify.core.model.engines import engine_for

    exact = engine_for(model, str(_place(engine)), "torch", "float32")
    labels: list[NDArray[np.uint16]] = [
        classify_image(image, model, grid, engine=one).labels() for one in (engine, exact)
    ]
    return float((labels[0] == labels[1]).mean())


def _generated() -> SemImage:
    from napari_sem_classify.core.sample.cross_section import generate_cross_section
    from napari_sem_classify.core.sem_io.array_image import image_from_array

    sample = generate_cross_section((GENERATED_PX, GENERATED_PX), seed=0, info_bar=False)
    return image_from_array(sample.image, "generated cross-section")


def _random_model(tile_px: int, network_px: int) -> TileClassifier:
    from napari_sem_classify.core.model.card import ClassInfo, ModelCard, default_colours
    from napari_sem_classify.core.model.head import Head, TileClassifier
    from napari_sem_classify.core.network.backbone import (
        DEFAULT_BACKBONE,
        backbone_info,
        backbone_sha256,
    )

    colours = default_colours(N_CLASSES)
    card = ModelCard(
        name="benchmark",
        classes=tuple(ClassInfo(f"class {n}", colours[n]) for n in range(N_CLASSES)),
        tile_px=tile_px,
        network_px=network_px,
        pixel_size_nm=None,
        backbone_id=DEFAULT_BACKBONE,
        backbone_sha256=backbone_sha256(DEFAULT_BACKBONE),
    )
    size = backbone_info(card.backbone_id).architecture.feature_size(card.stages)
    weight = np.random.default_rng(0).normal(size=(N_CLASSES, size)).astype(np.float32)
    zeros = np.zeros(size, dtype=np.float32)
    head = Head(zeros, zeros + 1, weight, np.zeros(N_CLASSES, dtype=np.float32))
    return TileClassifier(card, head)


def _cut(image: SemImage, tile_px: int, n_tiles: int) -> SemImage:
    """The image with its specimen area cut down to about `n_tiles` tiles."""
    area = image.area
    columns = max(1, area.width // tile_px)
    rows = max(1, min(area.height // tile_px, -(-n_tiles // columns)))
    columns = min(columns, -(-n_tiles // rows))
    bottom = min(area.bottom, area.top + rows * tile_px)
    right = min(area.right, area.left + columns * tile_px)
    smaller = Area(area.top, bottom, area.left, right)
    return replace(image, specimen=replace(image.specimen, area=smaller))


def _median(values: list[float], digits: int = 2) -> float | None:
    return round(statistics.median(values), digits) if values else None


def _ratio(a: float | None, b: float | None) -> float | None:
    return round(a / b, 3) if a and b else None
