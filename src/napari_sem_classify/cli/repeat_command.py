"""``rerun``: a result repeated from its record."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from napari_sem_classify.cli.shared_options import Json
from napari_sem_classify.cli.shell import complain, report, working


def rerun(
    record: Annotated[
        Path, typer.Argument(metavar="RECORD", help="A STEM.summary.json, or a STEM.map.tif.")
    ],
    image: Annotated[
        Path | None, typer.Option("--image", metavar="I", help="Where the image is now.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="M", help="The model, a name or a file.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write the new result there.")
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", metavar="D", help="Another device than recorded.")
    ] = None,
    backend: Annotated[
        str | None, typer.Option("--backend", help="Another backend than recorded.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Classify an image again as a record says, and tell whether the map is the same.

    Image and model are looked for where the record says, then beside the record and in the
    catalogue. What is not as it was (image, model, versions, device) is told even if the map is the
    same. Status 1 when cells have another class.
    """
    from napari_sem_classify.core.classify.record_file import read_record
    from napari_sem_classify.core.classify.rerun import rerun as repeat
    from napari_sem_classify.core.classify.rerun_inputs import find_classifier
    from napari_sem_classify.core.common.output_folder import output_folder
    from napari_sem_classify.core.export.kinds import OUTLINES, USUAL
    from napari_sem_classify.core.export.outputs import write_outputs
    from napari_sem_classify.core.image.sem_image import plane_suffix
    from napari_sem_classify.core.model.engines import engine_for

    engine = None
    if device is not None or backend is not None:
        classifier, _ = find_classifier(read_record(record), record, model)
        engine = engine_for(classifier, device or "auto", backend or "auto")
    files: list[Path] = []
    told: list[str] = []
    with nullcontext() if out is None else output_folder(out) as folder, working() as job:
        again = repeat(record, image=image, model=model, engine=engine, job=job)
        if folder is not None:
            stem = record.name.removesuffix(".summary.json").removesuffix(".map.tif")
            stem = stem.removesuffix(plane_suffix(again.class_map.plane))
            kinds = USUAL if again.class_map.outlines is None else (*USUAL, OUTLINES)
            files = write_outputs(again.class_map, again.image, folder, stem, kinds)
            told = folder.told
    verdict = "The map is the same." if again.same else "The map differs."
    if again.same is None:
        verdict = "The map could not be compared."
    value = {
        "same": again.same,
        "cells_changed": again.cells_changed,
        "cells": int(again.class_map.labels().size),
        "differences": list(again.differences),
        "files": files,
        "record": dict(again.class_map.record),
    }
    lines = [verdict, *(f"  {each}" for each in again.differences)]
    lines += [*(f"Written: {path}" for path in files), *told]
    report(value, "\n".join(lines), as_json)
    if again.same is False:
        complain(f"{record.name}: {verdict.rstrip('.').lower()} from the recorded one.")
        raise typer.Exit(1)
