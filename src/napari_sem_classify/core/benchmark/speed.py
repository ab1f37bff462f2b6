"""How fast this computer classifies tiles, beside its bare network and beside a plain loop."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sem_classify.core.benchmark.limit import (
    bare_rate,
    limit_rate,
    network_ms,
    outside_ms,
)
from napari_sem_classify.core.benchmark.plain_loop import PLAIN_LOOP_BATCH, plain_loop_rate
from napari_sem_classify.core.classify.int8_memory import int8_sentence
from napari_sem_classify.core.common.job import Job, Reporter
from napari_sem_classify.core.image.area import Area
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.tiles.dense_blocks import dense_stride
from napari_sem_classify.core.tiles.grid import TileGrid
from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles

if TYPE_CHECKING:
    from napari_sem_classify.core.model.head import TileClassifier
    from napari_sem_classify.core.network.engine.pipeline import PreparingEngine

GENERATED_PX = 2048
N_CLASSES = 3


@dataclass(frozen=True, slots=True)
class BenchmarkOptions:
    """What is measured, and how long.

    Attributes
    ----------
    tile_px : int
        Side of a tile in the image, which is also the stride.
    network_px : int
        Side of the network's input. With a model its card decides.
    device, backend, dtype : str
        As for `engine_for_images`: with a model, 8-bit arithmetic is taken where a run of so many
        tiles would take it.
    dense : bool
        Whether to time a dense map at its usual stride (32 network px) too, against tiles without
        overlap one by one.
    repeats, seconds
        Runs of each kind and their aimed length, from which the number of tiles follows.
    plain_loop : bool
        Whether to run the plain loop too, which is the slowest part.
    """

    tile_px: int = 128
    network_px: int = 224
    device: str = "auto"
    backend: str = "auto"
    dtype: str = "auto"
    dense: bool = False
    repeats: int = 5
    seconds: float = 6.0
    plain_loop: bool = True


def run_benchmark(
    image: SemImage | None,
    options: BenchmarkOptions,
    *,
    classifier: TileClassifier | None = None,
    job: Job | None = None,
) -> dict[str, Any]:
    """Measure tiles per second on this computer.

    Three rates, each the median of `repeats` runs that take turns, so that whatever else the
    computer does meets all of them: the whole job (`classify_image`), its network alone on a batch
    that lies ready on the device, and a loop as it is usually written (a `Dataset` that cuts one
    tile at a time with PIL, a `DataLoader`, ResNet50 in float32 at `PLAIN_LOOP_PX`).

    Parameters
    ----------
    image : SemImage or None
        A generated image where None.
    classifier : TileClassifier, optional
        A model whose network and head are used; else the default backbone and a random head.
    job : Job, optional
        Told after every run; checked there and within the whole job.

    Returns
    -------
    dict
        Plain JSON values: `end_to_end_tiles_per_s`, `bare_tiles_per_s`, `plain_loop_tiles_per_s`
        (None where left out), `limit_tiles_per_s` and `limit` (the fastest that this network can be
        here, and what that is), `end_to_end_to_bare`, `end_to_end_to_limit`,
        `end_to_end_to_plain_loop`, on a CPU `network_cpu_ms_per_tile`, `outside_cpu_ms_per_tile`
        and their ratio `outside_to_network` (processor time), `arithmetic`, `peak_memory_mb`
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
    reporter = Reporter(1 + 3 * options.repeats, "Measuring", job)
    bench = _bench(_generated() if image is None else image, classifier, options, job)
    memory_before = peak_memory_mb()
    tiles = bench.classify(job)
    memory = peak_memory_mb()
    reporter.advance()
    runs = bench.runs(options, reporter, job)
    end_to_end, bare, usual = (_median(runs[kind]) for kind in ("end_to_end", "bare", "plain_loop"))
    limit = bare if bench.limit is None else _median(runs["limit"])
    dense_s, tiles_s = (_median(runs[kind], 3) for kind in ("dense_s", "tile_by_tile_s"))
    engine = bench.engine
    return {
        "end_to_end_tiles_per_s": end_to_end,
        "bare_tiles_per_s": bare,
        "plain_loop_tiles_per_s": usual,
        "limit_tiles_per_s": limit,
        "limit": bench.limit_told,
        "end_to_end_to_bare": _ratio(end_to_end, bare),
        "end_to_end_to_limit": _ratio(end_to_end, limit),
        "end_to_end_to_plain_loop": _ratio(end_to_end, usual),
        "peak_memory_mb": memory,
        "peak_memory_before_mb": memory_before,
        "backend": engine.backend,
        "device": engine.device,
        "dtype": engine.dtype,
        "arithmetic": int8_sentence(engine.checked) or engine.dtype,
        **bench.processor_time(job),
        "batch_size": engine.batch_size,
        "tiles": tiles,
        "tile_px": options.tile_px,
        "network_px": bench.model.card.network_px,
        "agreement_with_float32": bench.agreement() if classifier else None,
        "compiled": engine.compiled is not None and engine.compiled.in_use,
        "dense_to_tiles": _ratio(dense_s, tiles_s),
        "dense_tiles": bench.fine.n_tiles if options.dense else None,
        "runs": {kind: [round(value, 3) for value in some] for kind, some in runs.items() if some},
        "machine": machine(),
    }


@dataclass(frozen=True, slots=True)
class _Bench:
    """What is measured: an image cut down to the length of a run, a model and its engine."""

    image: SemImage
    model: TileClassifier
    engine: PreparingEngine
    grid: TileGrid
    bare: Callable[[int], float]
    limit: Callable[[int], float] | None
    limit_told: str

    @property
    def fine(self) -> TileGrid:
        """The grid of a dense map at its usual stride."""
        return replace(self.grid, stride=dense_stride(self.grid.tile, self.model.card.network_px))

    def classify(self, job: Job | None, engine: Any = None) -> int:
        """Do the whole job; gives the tiles that reached the network.

        Tiles without data never do: counting them would flatter the rate.
        """
        from napari_sem_classify.core.classify.driver import classify_image

        used = engine or self.engine
        done = classify_image(self.image, self.model, self.grid, engine=used, job=job)
        return int(done.record["tiles"]["classified"])

    def runs(
        self, options: BenchmarkOptions, reporter: Reporter, job: Job | None
    ) -> dict[str, list[float]]:
        """Rates in tiles per second, and seconds of maps, of runs that take turns."""
        kinds = ("end_to_end", "bare", "limit", "plain_loop", "dense_s", "tile_by_tile_s")
        runs: dict[str, list[float]] = {kind: [] for kind in kinds}
        if options.dense:
            self._map_seconds(self.fine, True, job)  # compiles for the blocks' size
        for _ in range(options.repeats):
            start = time.perf_counter()
            looked_at = self.classify(job)
            runs["end_to_end"].append(looked_at / (time.perf_counter() - start))
            reporter.advance()
            runs["bare"].append(self.bare(self.grid.n_tiles))
            if self.limit is not None:
                runs["limit"].append(self.limit(self.grid.n_tiles))
            reporter.advance()
            if options.plain_loop:
                n_plain = min(self.grid.n_tiles, 4 * PLAIN_LOOP_BATCH)
                place = str(self.engine.torch_device)
                runs["plain_loop"].append(plain_loop_rate(self.image, self.grid, n_plain, place))
            if options.dense:
                runs["dense_s"].append(self._map_seconds(self.fine, True, job))
                runs["tile_by_tile_s"].append(self._map_seconds(self.grid, False, job))
            reporter.advance()
        return runs

    def _map_seconds(self, grid: TileGrid, dense: bool, job: Job | None) -> float:
        """Seconds from the image to every tile's class."""
        from napari_sem_classify.core.classify.driver import tile_scores

        start = time.perf_counter()
        tiles = PlaneTiles(self.image, grid).seen_by(self.model.card.intensity)
        seen = tiles.measure(self.model.card.intensity)
        told = tiles.reporter("Measuring", job)
        tile_scores(tiles, self.model, self.engine, seen, reporter=told, dense=dense)
        return time.perf_counter() - start

    def processor_time(self, job: Job | None) -> dict[str, float | None]:
        """What the network takes of the processor, and all the rest; None on a GPU."""
        names = ("network_cpu_ms_per_tile", "outside_cpu_ms_per_tile", "outside_to_network")
        if self.engine.torch_device.type != "cpu":
            return dict.fromkeys(names)
        network = network_ms(self.engine, self.grid.tile)
        outside = outside_ms(self.engine, lambda engine: self.classify(job, engine))
        told = round(network, 3), round(outside, 3), round(outside / max(network, 1e-9), 4)
        return dict(zip(names, told, strict=True))

    def agreement(self) -> float:
        """Share of tiles with the same class in float32."""
        from napari_sem_classify.core.classify.driver import classify_image
        from napari_sem_classify.core.model.engines import engine_for

        exact = engine_for(self.model, str(self.engine.torch_device), "torch", "float32")
        mine, truth = (
            classify_image(self.image, self.model, self.grid, engine=one).labels()
            for one in (self.engine, exact)
        )
        return float((mine == truth).mean())


def _bench(
    image: SemImage,
    classifier: TileClassifier | None,
    options: BenchmarkOptions,
    job: Job | None,
) -> _Bench:
    """Make the engine, and cut the image down to as many tiles as a run has time for."""
    from napari_sem_classify.core.classify.engine_choice import engine_for_images
    from napari_sem_classify.core.classify.options import ClassifyOptions
    from napari_sem_classify.core.model.engines import engine_for

    side = options.tile_px
    asked = ClassifyOptions(
        tile_px=side,
        device=options.device,
        backend=options.backend,
        dtype=options.dtype,
        cache=False,
    )
    engine: Any  # a `PreparingEngine`, the only kind that is made
    if classifier is None:  # a random head has no classes that 8 bits could keep
        model = random_model(side, options.network_px)
        engine = engine_for(model, options.device, options.backend, options.dtype)
    else:
        model = classifier
        engine = engine_for_images(model, [image], asked, job)
    if engine.compiled is not None:
        engine.compiled.after_s = 0.0  # what the user's long runs have
    bare = bare_rate(engine, side)
    rate = bare(2 * engine.batch_size)
    if engine.compiled is not None:
        engine.compiled.settle()
        rate = bare(2 * engine.batch_size)
    image = _cut(image, side, max(engine.batch_size, int(rate * options.seconds)))
    grid = TileGrid(image.area, side, side)
    return _Bench(image, model, engine, grid, bare, *limit_rate(engine, side))


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


def _generated() -> SemImage:
    from napari_sem_classify.core.sample.cross_section import generate_cross_section
    from napari_sem_classify.core.sem_io.array_image import image_from_array

    sample = generate_cross_section((GENERATED_PX, GENERATED_PX), seed=0, info_bar=False)
    return image_from_array(sample.image, "generated cross-section")


def random_model(
    tile_px: int, network_px: int, stages: tuple[int, ...] = (2, 3, 4)
) -> TileClassifier:
    """The default network up to its last of some stages, with a random head."""
    from napari_sem_classify.core.model.card import ClassInfo, ModelCard, default_colours
    from napari_sem_classify.core.model.head import Head, TileClassifier
    from napari_sem_classify.core.network import backbone

    colours = default_colours(N_CLASSES)
    card = ModelCard(
        name="benchmark",
        classes=tuple(ClassInfo(f"class {n}", colours[n]) for n in range(N_CLASSES)),
        tile_px=tile_px,
        network_px=network_px,
        pixel_size_nm=None,
        backbone_id=backbone.DEFAULT_BACKBONE,
        backbone_sha256=backbone.backbone_sha256(),
        stages=stages,
    )
    size = backbone.backbone_info().architecture.feature_size(card.stages)
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
