"""All figures of an NVIDIA GPU in one run of less than ten minutes: ``python benchmarks/gpu.py``.

    python benchmarks/gpu.py --tiny            rehearses everything on a CPU, in small
    python benchmarks/gpu.py --steps B,D       only some of the steps

Each step is a process of its own with a time limit, so that one that hangs costs only itself:
A  the first result of a new process, and the rate of its first run
B  end to end from memory against the compiled network alone with input and output on the card, at
   224 and 128 px; the same network as it is, with a CUDA graph, with five channels; the plain loop
C  zarr and TIFF against memory
D  training, its step compiled where that is faster, against the bare compiled step; the article's
   schedule
E  classes against the CPU in float32, on real tiles where ../shared is there
Prints a line of JSON a figure and the table of ratios at the end. What it was told of the compiled
network (or why there is none) stands under "compiled".
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

LIMITS_S = {"A": 45, "B": 160, "C": 75, "D": 270, "E": 50}
BEGUN = time.perf_counter()
SHARED = Path(__file__).parents[2] / "shared"


class Setup:
    """Sizes of a run, and the device."""

    def __init__(self, tiny: bool) -> None:
        self.tiny = tiny
        self.device = "cpu" if tiny else "cuda"
        self.dtype = "float32" if tiny else "auto"
        self.side = 512 if tiny else 30_000
        self.tile = {224: 64, 128: 32} if tiny else {224: 224, 128: 128}

    def image(self, side: int) -> np.ndarray:
        """Texture, so that no tile is like its neighbour; nowhere zero."""
        patch = min(2048, side)
        rng = np.random.default_rng(0)
        total = np.zeros((patch, patch), np.float32)
        for step in (1, 8, 64):
            coarse = rng.standard_normal((-(-patch // step),) * 2).astype(np.float32)
            total += np.kron(coarse, np.ones((step, step), np.float32))[:patch, :patch]
        low, high = np.percentile(total, [1, 99])
        grey = (np.clip((total - low) / (high - low), 0, 1) * 254 + 1).astype(np.uint8)
        times = -(-side // patch)
        return np.tile(grey, (times, times))[:side, :side]

    def model(self, tile: int, network_px: int | None = None) -> Any:
        """The default network with a random head; of a rehearsal only its beginning.

        A CPU would compile the whole network for minutes.
        """
        from napari_sem_classify.core.benchmark.speed import random_model

        return random_model(tile, network_px or tile, (1,) if self.tiny else (2, 3, 4))

    def engine(self, model: Any, at_once: bool = True) -> Any:
        """The engine of a model, compiled at once or as usual; on a CPU with the GPU's way."""
        from napari_sem_classify.core.model.engines import engine_for
        from napari_sem_classify.core.network.engine.lanes import HostLanes

        engine: Any = engine_for(model, self.device, "torch", self.dtype)
        if self.tiny:
            engine.lanes, engine.batch_size = HostLanes(), 8
        if engine.compiled is not None and at_once:
            engine.compiled.after_s = 0.0
        return engine

    def wait(self) -> None:
        """Until the device is done."""
        if not self.tiny:
            import torch

            torch.cuda.synchronize()


def say(name: str, value: Any) -> None:
    """Tell one figure."""
    print("=", json.dumps({name: value}), flush=True)


def step_a(setup: Setup) -> None:
    """A new process until the first tiles are on the map."""
    from napari_sem_classify.core.classify.driver import classify_tiles
    from napari_sem_classify.core.sem_io.array_image import image_from_array
    from napari_sem_classify.core.tiles.grid import TileGrid
    from napari_sem_classify.core.tiles.plane_tiles import PlaneTiles

    tile = setup.tile[224]
    image = image_from_array(setup.image(setup.side), "texture")
    begun = time.perf_counter()
    model = setup.model(tile)
    engine = setup.engine(model, at_once=False)
    made = time.perf_counter()
    first: list[float] = []
    tiles = PlaneTiles(image, TileGrid(image.area, tile, tile))
    done = classify_tiles(
        tiles, model, engine, on_update=lambda _: first.append(time.perf_counter())
    )
    end = time.perf_counter()
    say("engine made, s", made - begun)
    say("model to first tiles on the map, s", first[0] - begun)
    say("tiles/s from then on, first run", done.record["tiles"]["classified"] / (end - first[0]))


def step_b(setup: Setup) -> None:
    """End to end from memory, and the network alone."""
    import torch

    from napari_sem_classify.core.benchmark.plain_loop import plain_loop_rate
    from napari_sem_classify.core.network.engine.compiled import compile_network
    from napari_sem_classify.core.network.engine.factory import forget_engines
    from napari_sem_classify.core.sem_io.array_image import image_from_array
    from napari_sem_classify.core.tiles.grid import TileGrid

    image = image_from_array(setup.image(setup.side), "texture")
    for px in (224, 128):
        forget_engines()
        tile = setup.tile[px]
        model = setup.model(tile)
        engine = setup.engine(model)
        whole_image(setup, image, model, engine)
        if engine.compiled is not None:
            engine.compiled.settle()
            say(f"compiled, {px} px", engine.compiled.state)
        runs = [whole_image(setup, image, model, engine) for _ in range(3)]
        say(f"end to end, {px} px, tiles/s", float(np.median(runs)))
        batch = prepared(setup, engine, tile)
        alone = {"as it is": rate(setup, engine.trunk, batch)}
        try:
            fast = compile_network(engine.trunk, batch)
            alone["compiled"] = rate(setup, fast, batch)
            if not setup.tiny:
                alone["compiled, CUDA graph"] = rate(setup, graph_of(fast, batch), batch)
        except Exception as error:
            say(f"compiling failed, {px} px", repr(error)[:300])
        say(f"network alone, {px} px, tiles/s", alone)
        best = alone.get("compiled", alone["as it is"])
        say(f"end to end / network alone on the card, {px} px", float(np.median(runs)) / best)
        if px == 224:
            if not setup.tiny:
                stems = {
                    n: rate(setup, torch.nn.Conv2d(n, 64, 7, 2, 3, bias=False).to(batch), one)
                    for n in (5, 8)
                    for one in [batch[:, :n].contiguous(memory_format=torch.channels_last)]
                }
                say("first layer alone by channels, tiles/s", stems)
            grid = TileGrid(image.area, tile, tile)
            plain = plain_loop_rate(image, grid, min(grid.n_tiles, 1024), setup.device)
            say("end to end / plain loop", float(np.median(runs)) / plain)


def whole_image(setup: Setup, image: Any, model: Any, engine: Any) -> float:
    """Tiles per second from the image to its map."""
    from napari_sem_classify.core.classify.driver import classify_image
    from napari_sem_classify.core.tiles.grid import TileGrid

    tile = model.card.tile_px
    begun = time.perf_counter()
    done = classify_image(image, model, TileGrid(image.area, tile, tile), engine=engine)
    return int(done.record["tiles"]["classified"]) / (time.perf_counter() - begun)


def prepared(setup: Setup, engine: Any, tile: int) -> Any:
    """A batch of network input on the device."""
    import torch

    from napari_sem_classify.core.image.intensity import IntensityRange

    noise = np.random.default_rng(0).integers(0, 256, (engine.batch_size, tile, tile), np.uint8)
    with torch.inference_mode():
        return engine.prepare(noise, IntensityRange(0.0, 255.0))


def rate(setup: Setup, network: Callable[[Any], Any], batch: Any) -> float:
    """Tiles per second of a network, nothing copied from or to the device."""
    import torch

    times = 2 if setup.tiny else 60
    with torch.inference_mode():
        for _ in range(3):
            network(batch)
        setup.wait()
        begun = time.perf_counter()
        for _ in range(times):
            network(batch)
        setup.wait()
    return times * len(batch) / (time.perf_counter() - begun)


def graph_of(network: Callable[[Any], Any], batch: Any) -> Callable[[Any], Any]:
    """The network's kernels started at once."""
    import torch

    graph, side = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    with torch.inference_mode():
        with torch.cuda.stream(side):
            for _ in range(3):
                network(batch)
        side.synchronize()
        with torch.cuda.graph(graph):
            network(batch)
    return lambda _: graph.replay()


def step_c(setup: Setup) -> None:
    """Files of common kinds against memory."""
    import tifffile
    import zarr

    from napari_sem_classify.core.sem_io import open_image
    from napari_sem_classify.core.sem_io.array_image import image_from_array

    side, tile = min(setup.side, 20_480), setup.tile[224]
    pixels = setup.image(side)
    model = setup.model(tile)
    engine = setup.engine(model)
    memory = image_from_array(pixels, "memory")
    whole_image(setup, memory, model, engine)
    if engine.compiled is not None:
        engine.compiled.settle()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        zarr.create_array(str(folder / "a.zarr"), data=pixels, chunks=(1024, 1024))
        kinds: dict[str, dict[str, Any]] = {
            "tiled.tif": {"tile": (512, 512)},
            "striped.tif": {"rowsperstrip": 64},
            "deflated.tif": {"tile": (512, 512), "compression": "zlib"},
        }
        for name, how in kinds.items():
            tifffile.imwrite(folder / name, pixels, maxworkers=16, **how)
        in_memory = max(whole_image(setup, memory, model, engine) for _ in range(2))
        for name in ("a.zarr", *kinds):
            image = open_image(folder / name)
            found = max(whole_image(setup, image, model, engine) for _ in range(2))
            say(f"{name} / memory", found / in_memory)


def step_d(setup: Setup) -> None:
    """Training against the bare step, and the article's schedule."""
    import torch
    import training_speed as training

    from napari_sem_classify.core.benchmark.training import run_training_benchmark

    if setup.tiny:
        first = training.ARTICLE.stages[0]
        stages = (replace(first, size=32),)
        training.ARTICLE = replace(training.ARTICLE, stages=stages)
        usual = training.random_set
        training.random_set = lambda count, side: usual(count, 32)
    images, jpegs = (80, 8) if setup.tiny else (6144, 800)
    found = training.article_schedule(images, torch.device(setup.device), jpegs)
    say("article's schedule, min", found["all_minutes"])
    say("of it decoding, min", found["decoding_minutes"])
    for size in (32,) if setup.tiny else (64, 128, 224):
        found = run_training_benchmark(size, setup.device, 0.1 if setup.tiny else 4.0)
        say(f"training, {size} px", found)
        say(f"training / bare compiled step, {size} px", found["training_to_bare"])


def step_e(setup: Setup) -> None:
    """Classes on the device against those of the CPU in float32."""
    from napari_sem_classify.core.classify.driver import classify_image
    from napari_sem_classify.core.model.engines import engine_for
    from napari_sem_classify.core.sem_io import open_image
    from napari_sem_classify.core.sem_io.array_image import image_from_array
    from napari_sem_classify.core.tiles.grid import TileGrid

    real = sorted((SHARED / "data/nasa/images").glob("ebc__*.png"))
    images = [
        open_image(path) for path in real[:: max(1, len(real) // 3)][: 1 if setup.tiny else 3]
    ]
    if not images:
        images = [image_from_array(setup.image(1024), "texture")]
    model = setup.model(128, 64 if setup.tiny else 128)
    exact = engine_for(model, "cpu", "torch", "float32")
    same, apart, count = 0, 0.0, 0
    wanted = [("float32", setup.engine(model))]
    if not setup.tiny:
        wanted = [
            (name, engine_for(model, "cuda", "torch", name)) for name in ("bfloat16", "float32")
        ]
    for name, engine in wanted:
        same, apart, count = 0, 0.0, 0
        for image in images:
            grid = TileGrid(image.area, 128, 128)
            if setup.tiny:
                exact.lanes = None  # the very same engine, one batch after another
            truth = classify_image(image, model, grid, engine=exact)
            engine = setup.engine(model) if setup.tiny else engine
            mine = classify_image(image, model, grid, engine=engine)
            same += int((mine.labels() == truth.labels()).sum())
            count += truth.labels().size
            off = np.abs(mine.probabilities - truth.probabilities)
            apart = max(apart, float(np.nanmax(off)))
        say(f"classes as on the CPU in float32, {name}", f"{same} of {count}, off {apart:.2g}")


STEPS = {"A": step_a, "B": step_b, "C": step_c, "D": step_d, "E": step_e}


def main() -> None:
    """Run the steps, or one of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="on a CPU, in small")
    parser.add_argument("--steps", default=",".join(STEPS))
    parser.add_argument("--step", choices=[*STEPS], help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.step:
        import logging

        logging.basicConfig(level=logging.INFO)
        STEPS[chosen.step](Setup(chosen.tiny))
        return
    told: dict[str, Any] = {}
    for name in chosen.steps.split(","):
        command = [sys.executable, "-u", __file__, "--step", name, *["--tiny"] * chosen.tiny]
        limit = LIMITS_S[name] * (3 if chosen.tiny else 1)
        print(f"step {name}, at most {limit} s", flush=True)
        try:
            done = subprocess.run(
                command, stdout=subprocess.PIPE, text=True, timeout=limit, check=False
            )
            lines, state = done.stdout, f"ended with {done.returncode}"
        except subprocess.TimeoutExpired as late:
            output = late.stdout or b""
            lines = output.decode() if isinstance(output, bytes) else output
            state = "ran out of its time"
        for line in lines.splitlines():
            if line.startswith("= "):
                told.update(json.loads(line[2:]))
                print(line, flush=True)
        print(f"step {name} {state} after {time.perf_counter() - BEGUN:.0f} s in all", flush=True)
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
