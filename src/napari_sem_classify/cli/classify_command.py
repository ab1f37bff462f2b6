"""``demo``, ``classify`` and ``benchmark``: the jobs that run a network."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from napari_sem_classify.cli import shared_options as shared
from napari_sem_classify.cli.shell import complain, fail_if_any, report, say, table, working
from napari_sem_classify.core.common.plain_text import printable
from napari_sem_classify.core.export.kinds import EACH, USUAL

if TYPE_CHECKING:
    from napari_sem_classify.core.batch.batch_outcome import BatchReport, ImageOutcome
    from napari_sem_classify.core.classify.options import ClassifyOptions
    from napari_sem_classify.core.model.head import TileClassifier

DEMO_FOLDER = Path("napari-sem-classify-demo")
FURTHER = tuple(name for name in EACH if name not in USUAL)
FINISHED_STAY = "Stopped; images that were finished stay, the same command takes up there."


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
    as_json: shared.Json = False,
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
    from napari_sem_classify.core.sample.demo import run_demo, write_demo

    if not headless:
        from napari_sem_classify.plugin.files.demo_view import open_demo

        with working() as job:
            result = run_demo(job=job)
        open_demo(result)
        return
    from napari_sem_classify.core.common.output_folder import output_folder

    with output_folder(out) as folder, working() as job:  # a folder that is blocked is told first
        result = run_demo(job=job)
        paths = write_demo(result, folder)
    from napari_sem_classify.core.batch.batch_outcome import summary

    found = summary(result.class_map)
    agreement = result.class_map.record["agreement"]
    lines = [
        _fractions(found),
        f"Agreement with the truth: {agreement['accuracy']:.1%} of {agreement['tiles']} tiles",
        "Written:",
        *(f"  {path}" for path in paths),
        *folder.told,
    ]
    report({**found, "agreement": agreement, "files": paths}, "\n".join(lines), as_json)


def classify(
    images: shared.Images,
    model: Annotated[str, typer.Option("--model", metavar="M", help="A name or a model file.")],
    out: shared.Out,
    tile: shared.TilePx = None,
    tile_um: shared.TileUm = None,
    stride: shared.Stride = None,
    dense: Annotated[
        bool,
        typer.Option(
            "--dense",
            help="A fine map at little cost: the network looks at large blocks, which is an "
            "approximation; its agreement with single tiles is measured and written down.",
        ),
    ] = False,
    recipe: Annotated[
        Literal["model", "image", "frames", "local"],
        typer.Option(
            "--recipe",
            help="Stretch grey values as the model learned, or over the whole image, over each "
            "frame of a mosaic whose frames differ in exposure, or locally.",
        ),
    ] = "model",
    frame_px: shared.FramePx = None,
    skip_flat: Annotated[
        bool,
        typer.Option(
            "--skip-flat", help="Leave out tiles of hardly any contrast; a void may be a class."
        ),
    ] = False,
    outlines: Annotated[
        bool,
        typer.Option(
            "--outlines",
            help="Draw the outlines of the classes too, a label image of each image's full size.",
        ),
    ] = False,
    outline_step: Annotated[
        int | None,
        typer.Option(
            "--outline-step",
            metavar="PX",
            min=1,
            help="Distance between the places that outlines are judged at; an eighth of a tile.",
        ),
    ] = None,
    device: shared.Device = "auto",
    backend: shared.Backend = "auto",
    dtype: Annotated[
        str,
        typer.Option(
            "--dtype",
            metavar="KIND",
            help="Arithmetic: auto, float32, bfloat16, float16 or int8, which is checked on some "
            "of your tiles first and refused where too many change class; auto takes it for longer "
            "runs on a CPU where it is clearly faster.",
        ),
    ] = "auto",
    again: Annotated[
        bool, typer.Option("--again", help="Do images again that an earlier run finished.")
    ] = False,
    no_cache: Annotated[
        bool,
        typer.Option(
            "--no-cache", help="Look at every tile again; neither use nor keep what is known of it."
        ),
    ] = False,
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler",
            metavar="ADDRESS",
            help="A Dask cluster to work on (tcp://host:8786); it must see images and --out.",
        ),
    ] = None,
    also: Annotated[
        str,
        typer.Option(
            "--also", metavar="KINDS", help=f"Write too, comma-separated: {', '.join(FURTHER)}."
        ),
    ] = "",
    with_report: Annotated[
        bool, typer.Option("--report", help="Write one table and one HTML page of all images too.")
    ] = False,
    as_json: shared.Json = False,
) -> None:
    """Classify the tiles of images and write a table, a summary, a map and a picture of each.

    Without --tile or --tile-um tiles have the physical size that the model learned from. An image
    that fails does not stop the others; it is named at the end, with status 1. Run again with the
    same model and settings, it takes up where it stopped. What the network sees in the tiles is
    kept on this computer for a while, so that another model on the same image is done in a moment.
    """
    from napari_sem_classify.core.batch.batch_plan import images_to_classify
    from napari_sem_classify.core.batch.batch_state import BatchTarget
    from napari_sem_classify.core.classify.options import ClassifyOptions
    from napari_sem_classify.core.common.output_folder import output_folder
    from napari_sem_classify.core.model.catalogue import load_model
    from napari_sem_classify.core.model.transfer import NO_JUDGEMENT
    from napari_sem_classify.core.outlines.options import OutlineOptions

    shared.check_tile(tile, tile_um, stride)
    as_learned = recipe == "model" and frame_px is None
    look = None if as_learned else shared.recipe_of(recipe, frame_px)
    further = shared.kinds_of(also, "--also", FURTHER)
    if further and scheduler is not None:
        problem = "a cluster writes the usual files only: use `export` on its maps"
        raise typer.BadParameter(problem, param_hint="--also")
    if dtype != "auto" and scheduler is not None:
        raise typer.BadParameter("workers choose the arithmetic", param_hint="--dtype")
    options = ClassifyOptions(
        tile,
        tile_um,
        stride,
        dense=dense,
        skip_flat=skip_flat,
        outlines=OutlineOptions(outline_step) if outlines or outline_step else None,
        device=device,
        backend=backend,
        dtype=dtype,
        cache=not no_cache,
    )
    target = BatchTarget(out, (*USUAL, *further), resume=not again)
    paths = images_to_classify(images)
    classifier = load_model(model)
    if look is not None:
        classifier = replace(classifier, card=classifier.card.looking(look))
    reports: list[Path] = []
    with output_folder(out) as folder:
        place = _place(paths, classifier, options, scheduler)
        if not as_json:
            say(f"Model {classifier.card.name}, on {place.told}")
            if classifier.card.transfer is None:
                say(NO_JUDGEMENT.sentence)
        with working(FINISHED_STAY) as job:
            result = place.classify(paths, classifier, target, options, folder=folder, job=job)
        if with_report:
            from napari_sem_classify.core.batch.batch_report import write_batch_report

            reports = write_batch_report(result, folder, classifier.card)
    _tell(result, reports, out, place, as_json)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where images are classified: its names, and what does it there."""

    device: str
    backend: str
    arithmetic: str
    told: str
    classify: Callable[..., BatchReport]


def _place(
    paths: Sequence[Path],
    classifier: TileClassifier,
    options: ClassifyOptions,
    scheduler: str | None,
) -> _Place:
    """A Dask cluster, or a device of this computer with the engine ready on it."""
    if scheduler is not None:
        from napari_sem_classify.core.cluster.distributed import classify_on_cluster

        name = f"Dask cluster {scheduler}"
        work = partial(classify_on_cluster, scheduler=scheduler)
        return _Place(name, options.backend, "chosen by the workers", f"the {name}", work)
    from napari_sem_classify.core.batch.classify_many import classify_many
    from napari_sem_classify.core.classify.engine_choice import engine_for_images
    from napari_sem_classify.core.classify.int8_memory import int8_sentence

    with working() as job:
        engine = engine_for_images(classifier, paths, options, job)
    arithmetic = int8_sentence(engine.checked) or engine.dtype
    told = f"{engine.device} ({engine.backend}, {arithmetic})"
    work = partial(classify_many, engine=engine)
    return _Place(engine.device, engine.backend, arithmetic, told, work)


def _tell(
    result: BatchReport, reports: Sequence[Path], out: Path, place: _Place, as_json: bool
) -> None:
    """Report what became of the images; status 1 where one failed."""
    failures = [{"image": str(each.path), "problem": each.problem} for each in result.failed]
    value = {
        "images": [_outcome(each) for each in result.done],
        "failures": failures,
        "reports": reports,
        "out": str(out),
        "device": place.device,
        "backend": place.backend,
        "arithmetic": place.arithmetic,
        "seconds": result.seconds,
    }
    lines = [_outcome_text(each) for each in result.done]
    lines += [f"Written: {path}" for path in reports]
    report(value, "\n".join(lines), as_json)
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
        from napari_sem_classify.plugin.files.demo_view import open_image_with_form

        open_image_with_form(image)
        return
    from napari_sem_classify.core.model.catalogue import DEMO_NAME

    complain(
        "The demo's model knows generated coatings only: on your own image it shows how the "
        "program works, not what your specimen is."
    )
    classify([str(image)], DEMO_NAME, out, as_json=as_json)


def _outcome(outcome: ImageOutcome) -> dict[str, Any]:
    """What became of one image, as plain JSON values."""
    return {
        "image": outcome.path,
        "files": outcome.files,
        "planes": outcome.planes,
        **outcome.judgement.to_dict(),
        "scale_note": outcome.note,
        "scale_warning": outcome.scale_warning,
        "resumed": outcome.resumed,
        "renamed": outcome.renamed,
    }


def _outcome_text(outcome: ImageOutcome) -> str:
    from napari_sem_classify.core.model.transfer import NO_JUDGEMENT

    done_before = ""
    if outcome.resumed:
        done_before = " (finished by an earlier run)"
    elif all(plane.get("features_from_cache") for plane in outcome.planes):
        done_before = " (its tiles were known from an earlier run)"
    mark = "  note: " if outcome.scale_warning else "  "
    lines = [f"{printable(str(outcome.path))}{done_before}", f"{mark}{outcome.note}"]
    if outcome.renamed:
        lines.append(f"  note: {outcome.renamed}")
    if outcome.judgement != NO_JUDGEMENT:  # that is the model's, and told with its name
        lines.append(f"  {outcome.judgement.sentence}")
    return "\n".join([*lines, *(_fractions(plane) for plane in outcome.planes)])


def _nan(share: float | None) -> float:
    return float("nan") if share is None else share


def _fractions(plane: Mapping[str, Any]) -> str:
    """Fractions of one map as aligned text."""
    from napari_sem_classify.core.export.quantities import (
        counted,
        fraction_text,
        percent_text,
        size_text,
    )
    from napari_sem_classify.core.maps.class_map import ClassFraction

    rows = []
    for each in plane["classes"]:
        known = ClassFraction(**{**each, "fraction": _nan(each["fraction"])})
        rows.append(
            (known.title, fraction_text(known), counted(known.cells, "cell"), size_text(known))
        )
    if plane["cells_left_out"]:
        rows.append(("left out", "", counted(plane["cells_left_out"], "cell"), ""))
    lines = [table(rows, indent="  ")]
    if plane.get("approximation"):
        lines.append(f"  {plane['approximation']}")
    if plane.get("outlines"):
        shares = (
            f"{printable(each['name'])} {percent_text(each['fraction'])}"
            for each in plane["outlines"]["classes"]
        )
        lines.append(f"  by outlines: {', '.join(shares)}")
        lines += [f"  note: {printable(each)}" for each in plane["outlines"]["doubts"]]
    return "\n".join(lines)
