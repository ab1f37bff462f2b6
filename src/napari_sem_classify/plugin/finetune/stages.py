"""The stages of a training as a table of text that can be edited. No Qt."""

from __future__ import annotations

from collections.abc import Sequence

from napari_sem_classify.core.common.errors import DatasetError
from napari_sem_classify.core.finetune.finetune_presets import Stage

COLUMNS = ("Size", "Epochs\nhead", "Epochs\nall", "Rate\nhead", "Rate\nall")
TOOLTIPS = (
    "Side to which tiles are resized, in px (32 to 1024)",
    "Epochs in which only the last layer learns",
    "Epochs in which all layers learn",
    "Highest learning rate of the last layer while it learns alone",
    "Highest learning rate of the last layer while all layers learn",
)
MOST_EPOCHS = 1000


def texts_of(stage: Stage) -> tuple[str, ...]:
    """A stage as the cells of a row."""
    return (
        str(stage.size),
        str(stage.epochs_frozen),
        str(stage.epochs_unfrozen),
        f"{stage.lr_frozen:g}",
        f"{stage.lr_unfrozen:g}",
    )


def stages_of(rows: Sequence[Sequence[str]]) -> tuple[Stage, ...]:
    """Read the rows of the table.

    Raises
    ------
    DatasetError
        In one sentence that names the stage and what is wrong in it.
    """
    if not rows:
        raise DatasetError("There is no stage to train: add one.")
    return tuple(_stage(number, row) for number, row in enumerate(rows, start=1))


def _stage(number: int, row: Sequence[str]) -> Stage:
    size, head, every = (_whole(number, column, text) for column, text in enumerate(row[:3]))
    lr_head, lr_every = (_rate(number, text) for text in row[3:5])
    if not 32 <= size <= 1024:
        raise DatasetError(f"Stage {number} has a size of {size} px: use 32 to 1024 px.")
    if not (min(head, every) >= 0 and 1 <= head + every <= MOST_EPOCHS):
        raise DatasetError(
            f"Stage {number} has {head + every} epochs: use 1 to {MOST_EPOCHS} in all."
        )
    return Stage(size, head, every, lr_head, lr_every)


def _whole(number: int, column: int, text: str) -> int:
    try:
        return int(text.strip())
    except ValueError:
        name = COLUMNS[column].replace("\n", " ")
        raise DatasetError(
            f"Stage {number} has {text!r} under {name}: write a whole number."
        ) from None


def _rate(number: int, text: str) -> float:
    try:
        rate = float(text.strip().replace(",", "."))
    except ValueError:
        rate = -1.0
    if not 0.0 < rate <= 1.0:
        raise DatasetError(
            f"Stage {number} has the learning rate {text!r}: write a number from 1e-6 to 1."
        )
    return rate
