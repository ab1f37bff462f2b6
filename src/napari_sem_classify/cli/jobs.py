"""``demo``, ``classify`` and ``benchmark``: the jobs that run a network."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import SemClassifyError
from .inspect_commands import fail_if_any, unique_stems
from .options import Backend, Device, Images, Json, Out, Stride, TilePx, TileUm, check_tile
from .shell import complain, interruptible, progress_bar, report, table

if TYPE_CHECKING:
    from ..core.class_map import ClassMap
    from ..core.engine import Engine
    from ..core.model.head import TileClassifier
    from ..core.progress import CancelToken, ProgressCallback

DEMO_FOLDER = Path("napari-sem-classify-demo")


def add_to(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("demo")(demo)
    app.command("classify")(classify)


def demo(
    image: Annotated[
        Path | None, typer.Argument(metavar="[IMAGE]", help="Your own image instead.")
    ] = None,
    headless: Annotated[
        bool, typer.Option("--headless", help="Write files instead of opening the viewer.")
    ] = False,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for the files.")
    ] = DEMO_FOLDER,
    as_json: Json = False,
) -> None:
    """Open the viewer on sample data with a finished class map, or write the same as files.

    With IMAGE the viewer opens your own image beside the Classify form; the demo's model knows
    generated coatings only, so teach one of your own for real work.
    """
    reason = None if headless else why_no_viewer()
    if reason is not None:
        complain(f"{reason}: writing the files into {out} instead.")
        headless = True
    if image is not None:
        _demo_own_image(image, headless, out, as_json)
        return
    from ..core.demo import run_demo, write_demo

    with interruptible() as cancel, progress_bar() as progress:
        result = run_demo(progress=progress, cancel=cancel)
        if headless:
            paths = write_demo(result, out)
    if not headless:
        from ..plugin.demo_view import open_demo

        open_demo(result)
        return
    summary = _summary(result.class_map)
    agreement = result.class_map.record["agreement"]
    text = (
        f"{_fractions(result.class_map)}\n"
        f"Agreement with the truth: {agreement['accuracy']:.1%} of {agreement['tiles']} tiles\n"
        + "Written:\n"
        + "\n".join(f"  {path}" for path in paths)
    )
    value = {**summary, "agreement": agreement, "files": [str(path) for path in paths]}
    report(value, text, as_json)


def classify(
    images: Images,
    model: Annotated[str, typer.Option("--model", metavar="M", help="A name or a model file.")],
    out: Out,
    tile: TilePx = None,
    tile_um: TileUm = None,
    stride: Stride = None,
    device: Device = "auto",
    backend: Backend = "auto",
    as_json: Json = False,
) -> None:
    """Classify the tiles of images and write a table, a summary, a map and a picture of each.

    Without --tile or --tile-um tiles have the physical size that the model learned from. An image
    that fails does not stop the others; it is named at the end, with status 1.
    """
    from ..core.files import ensure_folder
    from ..core.model.file import load_model
    from ..core.sem_io import list_images

    check_tile(tile, tile_um, stride)
    paths = list_images(images)
    classifier = load_model(model)
    ensure_folder(out)
    from ..core.engine import engine_for

    engine = engine_for(classifier, device=device, backend=backend)
    if not as_json:
        complain(f"Model {classifier.card.name}, on {engine.device} ({engine.backend})")
    stems = unique_stems(paths)
    done: list[dict[str, Any]] = []
    failures: list[dict[str, str]] = []
    texts = []
    with interruptible() as cancel, progress_bar() as progress:
        for path in paths:
            wish = (tile, tile_um, stride)
            try:
                value, text = _classify_one(
                    path, classifier, engine, out, stems[path], wish, progress, cancel
                )
            except SemClassifyError as error:
                failures.append({"image": str(path), "problem": str(error)})
                continue
            done.append(value)
            texts.append(text)
    value = {"images": done, "failures": failures, "out": str(out), "device": engine.device}
    report(value, "\n".join(texts), as_json)
    fail_if_any(failures)


def why_no_viewer() -> str | None:
    """Why the viewer cannot be opened here, as the start of a sentence; None where it can."""
    if find_spec("napari") is None:
        return "napari is not installed"
    qt = ("PyQt6", "PySide6", "PyQt5", "PySide2")
    if not any(find_spec(name) for name in qt):
        return "napari has no Qt backend here (install napari-sem-classify[pyqt6])"
    needs_display = sys.platform.startswith("linux") and not os.environ.get("QT_QPA_PLATFORM")
    if needs_display and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "There is no display here"
    return None


def _demo_own_image(image: Path, headless: bool, out: Path, as_json: bool) -> None:
    if not headless:
        from ..plugin.demo_view import open_image_with_form

        open_image_with_form(image)
        return
    from ..core.model.catalogue import DEMO_NAME

    complain(
        "The demo's model knows generated coatings only: on your own image it shows how the "
        "program works, not what your specimen is."
    )
    classify([str(image)], DEMO_NAME, out, as_json=as_json)


def _classify_one(
    path: Path,
    classifier: TileClassifier,
    engine: Engine,
    out: Path,
    stem: str,
    wish: tuple[int | None, float | None, int | None],
    progress: ProgressCallback | None,
    cancel: CancelToken,
) -> tuple[dict[str, Any], str]:
    """Classify every plane of one image and write its files; give the report as value and text."""
    from ..core.classify import classify_planes, grid_for_model
    from ..core.export import write_outputs
    from ..core.sem_io import open_image

    image = open_image(path)
    tile, tile_um, stride = wish
    choice = grid_for_model(image, classifier.card, tile, tile_um, stride)
    values, texts = [], []
    for class_map in classify_planes(
        image, classifier, choice.grid, engine=engine, progress=progress, cancel=cancel
    ):
        files = write_outputs(class_map, image, out, stem)
        values.append({**_summary(class_map), "files": [str(file) for file in files]})
        texts.append(_fractions(class_map))
    warning = "  note: " if choice.scale_warning else "  "
    text = f"{path}\n{warning}{choice.note}\n" + "\n".join(texts)
    return {
        "image": str(path),
        "scale_note": choice.note,
        "scale_warning": choice.scale_warning,
        "planes": values,
    }, text


def _summary(class_map: ClassMap) -> dict[str, Any]:
    rows, cols = class_map.grid.shape
    return {
        "plane": list(class_map.plane),
        "cells": rows * cols,
        "cells_left_out": int(class_map.left_out.sum()),
        "tile_px": class_map.grid.tile,
        "stride_px": class_map.grid.stride,
        "fractions": {share.name: share.fraction for share in class_map.fractions()},
        "seconds": class_map.record.get("seconds"),
    }


def _fractions(class_map: ClassMap) -> str:
    rows = []
    for share in class_map.fractions():
        area = "" if share.area_um2 is None else f"{share.area_um2:.4g} µm²"
        rows.append((share.name, f"{share.fraction:6.1%}", f"{share.cells} cells", area))
    left_out = int(class_map.left_out.sum())
    if left_out:
        rows.append(("left out", "", f"{left_out} cells", ""))
    return table(rows, indent="  ")
