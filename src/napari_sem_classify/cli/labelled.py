"""What ``train``, ``evaluate`` and ``compare`` share: options of labelled images, and their set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_sem_classify.cli.shell import STOPPED_TEXT, working

if TYPE_CHECKING:
    from napari_sem_classify.core.common.job import Job
    from napari_sem_classify.core.evaluate.dataset import Listing, RowCrop
    from napari_sem_classify.core.evaluate.dataset_split import Split
    from napari_sem_classify.core.evaluate.training_set import TrainingSet
    from napari_sem_classify.core.image.intensity import IntensityRecipe

Source = Annotated[
    Path,
    typer.Argument(
        metavar="DIR",
        help="A folder of class folders, or a CSV with the columns path, class, group.",
    ),
]
CropRows = Annotated[
    str | None,
    typer.Option(
        "--crop-rows",
        metavar="TOP:BOTTOM",
        help="Rows of every image to use, as 130:893 or 0:81%; else the info bar is found.",
    ),
]
CutTile = Annotated[
    int | None,
    typer.Option("--tile", metavar="PX", help="Cut images into tiles; else whole images."),
]
Epochs = Annotated[int | None, typer.Option("--epochs", metavar="N", help="Epochs at every size.")]
Sizes = Annotated[
    str | None, typer.Option("--sizes", metavar="PX,PX", help="Network input sizes, as 64,128,224.")
]
Augment = Annotated[
    list[str] | None,
    typer.Option(
        "--augment",
        metavar="NAME=VALUE",
        help="Change tiles more or less at random, again for each kind: flips, quarter_turns, "
        "rotation_deg, crop, magnification, gain, offset, gamma, defocus_px, shot_noise, "
        "line_noise, charging; 0: not.",
    ),
]
BatchSize = Annotated[int | None, typer.Option("--batch", metavar="N", help="Tiles of a batch.")]


@contextmanager
def split_set(
    listing: Listing,
    *,
    tile_px: int | None,
    crop: RowCrop | None,
    largest_px: int,
    seed: int,
    recipe: IntensityRecipe | None = None,
    stopped: str = STOPPED_TEXT,
) -> Iterator[tuple[TrainingSet, Split, Job]]:
    """Give the tiles of a listing, removed afterwards, their split, and the job (see `working`)."""
    from napari_sem_classify.core.evaluate.training_set import make_training_set, split_listed
    from napari_sem_classify.core.image.intensity import IntensityRecipe

    with working(stopped) as job:
        data = make_training_set(
            listing,
            tile_px=tile_px,
            crop=crop,
            largest_px=largest_px,
            recipe=recipe or IntensityRecipe(),
            job=job,
        )
        try:
            yield data, split_listed(data, seed), job
        finally:
            data.discard()


def whole_numbers(text: str | None, option: str) -> list[int] | None:
    """Numbers of an option such as "64,128,224"; anything else is wrong usage."""
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} are no whole numbers with commas between", param_hint=option
        ) from None


def numbers_by_name(texts: Sequence[str] | None, option: str) -> dict[str, float]:
    """What ``NAME=VALUE`` options say; anything else is wrong usage."""
    found = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            equals = ""
        if not equals:
            problem = f"{text!r} is no NAME=VALUE with a number"
            raise typer.BadParameter(problem, param_hint=option) from None
    return found


def row_crop(text: str | None) -> RowCrop | None:
    """The rows of ``--crop-rows``, None where it was not given."""
    from napari_sem_classify.core.evaluate.dataset import RowCrop

    return None if text is None else RowCrop.parse(text)
