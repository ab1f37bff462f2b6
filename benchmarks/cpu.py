"""All rows of a CPU in one run: ``python benchmarks/cpu.py [--data FOLDER] [--quick]``.

Two kinds of processor in processes of their own: this one, and this one as if it had VNNI and no
bfloat16 (torch is told by ONEDNN_MAX_CPU_ISA; the program does not see bfloat16, so that OpenVINO
computes in float32 and 8 bits). Of each: the program with its default settings and a taught model
at 128 px network input against the plain loop at 224 px, and against its bare network; in full
precision; what the processor does outside the network; torch without OpenVINO; the first result of
a new process, twice. Then reading from files against memory and against their decoders, and a
training against its bare step. Prints a JSON object a row, with the load of the machine; about 14
minutes on two free cores. Caches are kept in a folder of the run's own.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(__file__).resolve().parents[2] / "shared/data"
VNNI_ONLY = {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI", "SEM_CLASSIFY_BENCH_NO_BF16": "1"}
READ_PX = 12_288
TILE = 64
MODEL = "model.safetensors"
ALONE = ("--context", "no", "--alignment", "0", "--smoothing", "0")


def main() -> None:
    """Run the parts one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="the folder with nasa/images")
    parser.add_argument("--quick", action="store_true", help="a miniature, to see that it runs")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--scratch", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.part:
        PARTS[asked.part](asked.data, asked.scratch, asked.quick)
        return
    with tempfile.TemporaryDirectory(prefix="sem-classify-cpu-") as scratch:
        begun = time.perf_counter()
        run_part("teaching", asked, scratch, {"XDG_CACHE_HOME": str(Path(scratch, "taught"))}, "")
        for kind, variables in (("this processor", {}), ("VNNI only", VNNI_ONLY)):
            caches = Path(scratch, kind.replace(" ", "-"))
            for part in ("rates", "torch", "first", "first"):
                run_part(part, asked, scratch, {**variables, "XDG_CACHE_HOME": str(caches)}, kind)
        caches = Path(scratch, "other")
        for part in ("reading", "training"):
            run_part(part, asked, scratch, {"XDG_CACHE_HOME": str(caches)}, "this processor")
        tell("all", seconds=round(time.perf_counter() - begun))


def run_part(part: str, asked: Any, scratch: str, variables: dict[str, str], kind: str) -> None:
    """Run a part in a process of its own."""
    command = [sys.executable, __file__, "--part", part, "--data", str(asked.data)]
    command += ["--scratch", scratch, *(["--quick"] if asked.quick else [])]
    environment = {**os.environ, **variables, "SEM_CLASSIFY_BENCH_KIND": kind}
    subprocess.run(command, env=environment, check=True)


def tell(row: str, **values: Any) -> None:
    """Print a row."""
    kind = os.environ.get("SEM_CLASSIFY_BENCH_KIND", "")
    load = round(os.getloadavg()[0], 1)
    print(json.dumps({"row": row, "processor": kind, **values, "load": load}), flush=True)


def without_bfloat16() -> None:
    """Have the program see no bfloat16, where this process is to be such a processor."""
    if "SEM_CLASSIFY_BENCH_NO_BF16" not in os.environ:
        return
    from napari_sem_classify.core.network.engine import devices, factory, openvino_engine

    for module in (devices, factory, openvino_engine):
        module.cpu_has_bfloat16 = lambda: False  # type: ignore[attr-defined]


def mosaic(data: Path, quick: bool) -> Any:
    """Twelve coatings beside each other in memory, 3072 tiles; of a miniature four."""
    from napari_sem_classify.core.sem_io import open_image
    from napari_sem_classify.core.sem_io.array_image import image_from_array

    paths = sorted((data / "nasa/images").glob("ebc__*.png"))[: 4 if quick else 12]
    fields = [np.asarray(open_image(path).data[:1024, :1024]) for path in paths]
    rows = [np.concatenate(fields[at : at + 4], axis=1) for at in range(0, len(fields), 4)]
    return image_from_array(np.concatenate(rows), "coatings")


def teaching(data: Path, scratch: Path, quick: bool) -> None:
    """A model of coating and matrix from the masks of some of the images."""
    images = sorted((data / "nasa/images").glob("ebc__*.png"))[: 2 if quick else 6]
    pairs = [["--image", str(at), "--labels", str(data / "nasa/masks" / at.name)] for at in images]
    command = [sys.executable, "-m", "napari_sem_classify", "teach", "--tile", str(TILE)]
    command += [part for pair in pairs for part in pair]
    command += ["--classes", "0=matrix,1=oxide", "--out", str(scratch / MODEL)]
    begun = time.perf_counter()
    subprocess.run([*command, *ALONE], check=True, stdout=subprocess.DEVNULL)
    tell("teaching", images=len(images), seconds=round(time.perf_counter() - begun, 1))


def rates(data: Path, scratch: Path, quick: bool) -> None:
    """Default settings with a taught model, then in full precision."""
    without_bfloat16()
    from napari_sem_classify.core.benchmark.speed import BenchmarkOptions, run_benchmark
    from napari_sem_classify.core.model.catalogue import load_model
    from napari_sem_classify.core.network.engine.trial import memory_file

    image, model = mosaic(data, quick), load_model(scratch / MODEL)
    repeats, seconds = (1, 1.0) if quick else (5, 4.0)
    begun = time.perf_counter()
    for name, dtype in (("default settings", "auto"), ("full precision", "float32")):
        options = BenchmarkOptions(
            TILE,
            device="cpu",
            dtype=dtype,
            repeats=repeats if dtype == "auto" else 1 + repeats // 3,
            seconds=seconds,
            plain_loop=dtype == "auto",
        )
        found = run_benchmark(image, options, classifier=model)
        machine = found.pop("machine")
        if dtype == "auto":
            tell("machine", **machine)
        tell(name, seconds=round(time.perf_counter() - begun, 1), **found)
    tell("trials", **json.loads(memory_file().read_text(encoding="utf-8")))


def torch_alone(data: Path, _scratch: Path, quick: bool) -> None:
    """Torch beside OpenVINO in the arithmetic of full speed, taking turns."""
    without_bfloat16()
    from napari_sem_classify.core.network.engine import make_engine, trial
    from napari_sem_classify.core.network.engine.devices import cpu_has_bfloat16

    dtype = "bfloat16" if cpu_has_bfloat16() else "float32"
    for network_px in (128, 224):
        engines = [
            make_engine(network_px=network_px, device="cpu", backend=backend, dtype=dtype)
            for backend in ("openvino", "torch")
        ]
        spent = [trial.seconds_a_tile(engines) for _ in range(1 if quick else 3)]
        usual, torch_s = (statistics.median(some) for some in zip(*spent, strict=True))
        tell(
            "torch without OpenVINO",
            network_px=network_px,
            dtype=dtype,
            openvino_ms=round(1000 * usual, 2),
            torch_ms=round(1000 * torch_s, 2),
            times_as_slow=round(torch_s / usual, 3),
        )


def first(data: Path, scratch: Path, quick: bool) -> None:
    """Seconds from the start of the work to the first tiles on the map; libraries included."""
    begun = time.perf_counter()
    without_bfloat16()
    image = mosaic(data, quick)
    read = time.perf_counter()
    from napari_sem_classify.core.classify.driver import classify_planes
    from napari_sem_classify.core.classify.options import ClassifyOptions
    from napari_sem_classify.core.model.catalogue import load_model

    seen: list[float] = []

    def shown(_plane: Any, _tiles: Any) -> None:
        seen.append(time.perf_counter() - begun)

    options = ClassifyOptions(tile_px=TILE, device="cpu", cache=False)
    (made,) = classify_planes(image, load_model(scratch / MODEL), options, on_update=shown)
    tell(
        "first result of a process",
        engine={name: made.record["engine"][name] for name in ("backend", "dtype")},
        image_s=round(read - begun, 2),
        first_tiles_s=round(seen[0], 2),
        all_tiles_s=round(time.perf_counter() - begun, 2),
        tiles=made.record["tiles"]["classified"],
    )


def reading(data: Path, scratch: Path, quick: bool) -> None:
    """The data path from files and from memory, and the formats' own decoders on all cores.

    Of each the megabytes a second and the processor's milliseconds a megabyte.
    """
    from napari_sem_classify.core.image.area import Area
    from napari_sem_classify.core.image.intensity import IntensityRange
    from napari_sem_classify.core.sem_io import open_image
    from napari_sem_classify.core.sem_io.array_image import image_from_array
    from napari_sem_classify.core.tiles.grid import TileGrid
    from napari_sem_classify.core.tiles.tile_source import read_cuts

    side = READ_PX // (8 if quick else 1)
    pixels = np.tile(np.asarray(mosaic(data, True).data[:512, :512]), (side // 512, side // 512))
    megabytes = pixels.nbytes / 1e6

    def cost(work: Callable[[], Any]) -> tuple[float, float]:
        runs = []
        for _ in range(1 if quick else 3):
            begun, worked = time.perf_counter(), time.process_time()
            work()
            runs.append((time.perf_counter() - begun, time.process_time() - worked))
        seconds, processor = (min(some) for some in zip(*runs, strict=True))
        return round(megabytes / seconds, 1), round(1000 * processor / megabytes, 3)

    def regions(image: Any) -> None:
        grid = TileGrid(image.area, 224, 224)
        for _batch in read_cuts(image, grid, IntensityRange(0.0, 255.0), 256):
            pass

    held, held_ms = cost(lambda: regions(image_from_array(pixels, "memory")))
    tell("reading", source="memory", regions_mb_s=held, regions_cpu_ms=held_ms)
    for name, path, decode in files_of(pixels, scratch):
        image = open_image(path)
        rate, ms = cost(lambda image=image: regions(image))
        whole, whole_ms = cost(lambda image=image: image.read(Area(0, side, 0, side)))
        told = {"regions_mb_s": rate, "regions_cpu_ms": ms, "read_mb_s": whole}
        told["read_cpu_ms"] = whole_ms
        for kind, work in decode.items():
            alone, alone_ms = cost(work)
            told |= {f"{kind}_mb_s": alone, f"{kind}_cpu_ms": alone_ms}
            told[f"regions_to_{kind}"] = round(rate / min(alone, held), 3)
            told[f"{kind}_to_read_cpu"] = round(alone_ms / whole_ms, 3)
        tell("reading", source=name, **told)
        (shutil.rmtree if path.is_dir() else Path.unlink)(path)


def files_of(
    pixels: Any, scratch: Path
) -> Iterator[tuple[str, Path, dict[str, Callable[[], Any]]]]:
    """Files of an image one by one, and what decodes all of each on all cores.

    Of TIFFs also the pieces alone, which are not put together to an image: a lower bound.
    """
    import tifffile
    import zarr

    for side, compression in ((512, "zlib"), (256, "zlib"), (512, None), (256, None)):
        path = scratch / f"tiled-{side}-{compression}.tif"
        tifffile.imwrite(path, pixels, tile=(side, side), compression=compression)
        name = f"TIFF, {compression or 'not compressed'}, tiles of {side} px"
        pieces, whole = partial(decode_pieces, path), partial(decode_tiff, path)
        yield name, path, {"pieces": pieces, "decoder": whole}
    path = scratch / "striped.tif"
    tifffile.imwrite(path, pixels, rowsperstrip=64, compression="zlib")
    # Decoded whole when it is opened: its rate here is that of memory.
    yield "TIFF, zlib, strips of 64 rows", path, {}
    for chunk, more in ((1024, {}), (512, {}), (512, {"compressors": None})):
        path = scratch / f"{chunk}-{len(more)}.zarr"
        made = zarr.create_array(
            str(path), shape=pixels.shape, chunks=(chunk, chunk), dtype="u1", **more
        )
        made[:] = pixels
        name = f"zarr, {'not compressed' if more else 'zstd'}, chunks of {chunk} px"
        yield name, path, {"decoder": lambda path=path: zarr.open_array(str(path), mode="r")[...]}


def decode_tiff(path: Path) -> Any:
    """The image by tifffile, as many tiles at once as there are cores."""
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        return tiff.pages[0].asarray(maxworkers=os.cpu_count())


def decode_pieces(path: Path) -> None:
    """All tiles by tifffile's own decoder, as many at once as there are cores."""
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        packed = []
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            tiff.filehandle.seek(offset)
            packed.append(tiff.filehandle.read(count))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for _ in pool.map(page.decode, packed, range(len(packed))):
                pass


def training(_data: Path, _scratch: Path, quick: bool) -> None:
    """A training beside its bare step."""
    from napari_sem_classify.core.benchmark.training import run_training_benchmark

    for size in (64,) if quick else (64, 128):
        tell("training", **run_training_benchmark(size, "cpu", 0.5 if quick else 20.0))


PARTS: dict[str, Callable[[Path, Path, bool], None]] = {
    "teaching": teaching,
    "rates": rates,
    "torch": torch_alone,
    "first": first,
    "reading": reading,
    "training": training,
}


if __name__ == "__main__":
    main()
