"""``export``: saved class maps as the files that other programs and papers need."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_sem_classify.cli.shared_options import Json, Out, kinds_of
from napari_sem_classify.cli.shell import fail_if_any, report
from napari_sem_classify.core.export.kinds import EACH, TOGETHER, kind_named

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_sem_classify.core.common.output_folder import OutputFolder
    from napari_sem_classify.core.export.kinds import Kind
    from napari_sem_classify.core.maps.map_set import MapOnDisk

CHOICES = (*EACH, *TOGETHER)


def export(
    maps: Annotated[
        list[str], typer.Argument(metavar="MAP...", help="STEM.map.tif files or folders of them.")
    ],
    out: Out,
    kinds: Annotated[
        str,
        typer.Option(
            "--as",
            metavar="KINDS",
            help=f"Comma-separated, of each map: {', '.join(EACH)}; of all maps together: "
            f"{', '.join(TOGETHER)}.",
        ),
    ],
    as_json: Json = False,
) -> None:
    """Write saved class maps as tables, outlines, figures and reports.

    Those that show the specimen need the image, which is looked for where it was and beside the
    map.
    """
    wanted = kinds_of(kinds, "--as", CHOICES)
    if not wanted:
        problem = f"none is given: choose from {', '.join(CHOICES)}"
        raise typer.BadParameter(problem, param_hint="--as")
    from napari_sem_classify.core.common.errors import OutputError, SemClassifyError
    from napari_sem_classify.core.common.output_folder import output_folder
    from napari_sem_classify.core.image.file_names import free_stem
    from napari_sem_classify.core.maps.map_set import find_maps, open_maps

    paths = find_maps(maps)
    files: list[Path] = []
    failures: list[dict[str, str]] = []
    opened: list[MapOnDisk] = []
    taken: set[str] = set()
    stems: dict[tuple[Path, str], str] = {}
    pictures = [name for name in wanted if kind_named(name).needs_image]
    with output_folder(out) as folder:
        for path in paths:
            try:
                found = open_maps(path)
                # Maps of one stack's planes lie in files side by side, and stay together.
                source = path.parent, found[0].stem
                stem = stems.get(source) or free_stem(found[0].stem, taken)
                stems[source] = stem
                files.extend(_each(found, folder, stem, wanted))
            except OutputError:
                raise
            except SemClassifyError as error:
                failures.append({"image": str(path), "problem": str(error)})
                continue
            if pictures and found[0].image is None:
                problem = (
                    f"The image of {path} was not found, so {', '.join(pictures)} could not be "
                    "made: put it beside the map."
                )
                failures.append({"image": str(path), "problem": problem})
            opened += found
        for name in wanted:
            kind = kind_named(name)
            shown = [one for one in opened if one.image is not None or not kind.needs_image]
            if kind.for_all and shown:
                files.append(_together(kind, shown, folder))
    value = {"files": files, "failures": failures, "out": out, "renamed": folder.told}
    report(value, "\n".join([*map(str, files), *folder.told]), as_json)
    fail_if_any(failures)


def _each(
    found: Sequence[MapOnDisk], folder: OutputFolder, stem: str, wanted: Sequence[str]
) -> Iterator[Path]:
    """Write what is one file a map; without the image only what does not show it."""
    from napari_sem_classify.core.export.outputs import write_outputs

    single = {name: kind_named(name) for name in wanted if not kind_named(name).for_all}
    for one in found:
        possible = [n for n, kind in single.items() if one.image or not kind.needs_image]
        yield from write_outputs(one.class_map, one.image, folder, stem, possible, one.saved)


def _together(kind: Kind, opened: Sequence[MapOnDisk], folder: OutputFolder) -> Path:
    """Write one file of all the maps."""
    from napari_sem_classify.core.export.measured import Measured
    from napari_sem_classify.core.measure.field_statistics import field_spreads

    maps, images = [one.class_map for one in opened], [one.image for one in opened]
    title = f"{len(maps)} class maps" if len(maps) > 1 else maps[0].image_name or "Class map"
    measured = Measured(maps, images, spreads=field_spreads(maps), title=title)
    name = kind.suffixes[0].removeprefix(".")
    with folder.staging() as staging:
        kind.write(measured, staging / name)
        return folder.put(staging, name.partition(".")[0])[name]
