"""``benchmark``: how fast this computer is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from napari_sem_classify.cli.shared_options import Backend, Device, Json
from napari_sem_classify.cli.shell import report, table, working


def benchmark(
    image: Annotated[
        Path | None, typer.Argument(metavar="[IMAGE]", help="An image; a generated one otherwise.")
    ] = None,
    tile: Annotated[
        int, typer.Option("--tile", metavar="PX", min=8, help="Side of a tile in pixels.")
    ] = 128,
    network: Annotated[
        int, typer.Option("--network", metavar="PX", min=32, help="Side of the network's input.")
    ] = 224,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Runs of each kind.")] = 5,
    seconds: Annotated[float, typer.Option("--seconds", help="Aimed length of a run.")] = 6.0,
    plain_loop: Annotated[
        bool, typer.Option("--plain-loop/--no-plain-loop", help="Time a usual loop too.")
    ] = True,
    model: Annotated[
        Path | None,
        typer.Option("--model", metavar="FILE", help="A model of yours; a random one otherwise."),
    ] = None,
    dense: Annotated[
        bool, typer.Option("--dense", help="Time a fine map in one pass (`classify --dense`) too.")
    ] = False,
    training: Annotated[
        bool,
        typer.Option(
            "--training", help="Time fine-tuning instead, at --network px, beside its bare step."
        ),
    ] = False,
    device: Device = "auto",
    backend: Backend = "auto",
    dtype: Annotated[
        str,
        typer.Option(
            "--dtype",
            metavar="KIND",
            help="Arithmetic: auto, float32, bfloat16, float16, or int8, which needs --model.",
        ),
    ] = "auto",
    as_json: Json = False,
) -> None:
    """Measure tiles per second: the whole job, its bare network, and a usual loop.

    The share is that of the fastest that the same network can be here: on NVIDIA GPUs compiled,
    with input and output on the device.
    """
    if seconds <= 0:
        raise typer.BadParameter("give more than 0 seconds", param_hint="--seconds")
    if dtype == "int8" and model is None:
        problem = "8-bit arithmetic is checked on your classes: give a model with --model"
        raise typer.BadParameter(problem, param_hint="--dtype")
    if training:
        _training(network, device, seconds, as_json)
        return
    from napari_sem_classify.core.benchmark.speed import BenchmarkOptions, run_benchmark
    from napari_sem_classify.core.model.catalogue import load_model
    from napari_sem_classify.core.sem_io import open_image

    classifier = None if model is None else load_model(model)
    opened = None if image is None else open_image(image)
    options = BenchmarkOptions(
        tile_px=tile,
        network_px=network,
        device=device,
        backend=backend,
        dtype=dtype,
        dense=dense,
        repeats=repeats,
        seconds=seconds,
        plain_loop=plain_loop,
    )
    with working() as job:
        found = run_benchmark(opened, options, classifier=classifier, job=job)
    report(found, _text(found), as_json)


def _training(size: int, device: str, seconds: float, as_json: bool) -> None:
    from napari_sem_classify.core.benchmark.training import run_training_benchmark

    with working() as job:
        found = run_training_benchmark(size, device, seconds, job)
    compiled = ", compiled" if found["bare_compiled"] else ""
    rows = [
        ("Device", found["device"]),
        ("Tiles", f"{found['tiles']} of {size} px, {found['batch_size']} a batch"),
        ("Training", f"{found['training_tiles_per_s']:.1f} tiles/s"),
        (f"Bare step{compiled}", f"{found['bare_tiles_per_s']:.1f} tiles/s"),
        ("Share", f"{found['training_to_bare']:.0%}"),
    ]
    report(found, table(rows), as_json)


def _text(found: dict[str, Any]) -> str:
    from napari_sem_classify.core.benchmark.limit import AS_IT_IS

    def rate(key: str) -> str:
        value = found[key]
        return "not measured" if value is None else f"{value:.1f} tiles/s"

    fine = found["dense_to_tiles"]
    share, memory, limit = found["end_to_end_to_limit"], found["peak_memory_mb"], found["limit"]
    rows: list[tuple[str, ...]] = [
        ("Device", f"{found['device']}, {found['backend']}, {found['arithmetic']}"),
        ("Tiles", f"{found['tiles']} of {found['tile_px']} px, network {found['network_px']} px"),
        ("Whole job", rate("end_to_end_tiles_per_s")),
        ("Bare network", rate("bare_tiles_per_s")),
        *([] if limit == AS_IT_IS else [(f"Limit ({limit})", rate("limit_tiles_per_s"))]),
        ("Share", "-" if share is None else f"{share:.0%}"),
        ("Usual loop", rate("plain_loop_tiles_per_s")),
        *([] if fine is None else [("Fine map", f"{fine:.2f} times as long as tile by tile")]),
        ("Peak memory", "not known" if memory is None else f"{memory:.0f} MB"),
    ]
    return table(rows)
