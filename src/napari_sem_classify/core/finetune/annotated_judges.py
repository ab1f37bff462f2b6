"""By what a tuned network is judged on other specimens: heads a stage, and their calibration.

Teaching leaves specimens out of its heads in turn. They cannot be left out of a trunk that learned
from them, so what was held back from the training is all that calibrates.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_sem_classify.core.model.head import Head
from napari_sem_classify.core.model.stage_heads import StageHeads, stage_columns
from napari_sem_classify.core.model.transfer import Transfer
from napari_sem_classify.core.teach.judged_tiles import MIN_TILES, Seen
from napari_sem_classify.core.teach.logistic import DEFAULT_STRENGTH, make_basis
from napari_sem_classify.core.teach.transfer import (
    MIN_SPECIMENS,
    fit_some,
    left_out,
    sample_of,
    stage_heads,
    transfer_of,
    with_their_copies,
)

TOO_FEW_HELD = (
    "It is not known how the model does on other specimens, as fewer than three specimens or "
    f"images with {MIN_TILES} annotated tiles or more were held back from its training."
)


def tuned_judges(
    learned: Seen,
    held: Seen | None,
    head: Head,
    sizes: Sequence[int],
    temperature: float,
    seed: int = 0,
) -> tuple[StageHeads, Transfer]:
    """Fit the heads of the stages, and calibrate their agreement on what was held back.

    Parameters
    ----------
    learned : Seen
        What trunk and head learned from.
    held : Seen or None
        Tiles of images that neither trunk nor head learned from.
    head : Head
        The model's own.
    sizes : sequence of int
        Features of a tile in each stage.
    temperature : float
        Of the model.
    seed : int
        Of the sample of tiles that the heads are fitted to.
    """
    classes = len(head.bias)
    features, own, labels, _ = learned.with_copies()
    columns = stage_columns(sizes, features.shape[1] // sum(sizes))
    some = with_their_copies(learned, sample_of(learned.labels, classes, seed))
    heads = [
        fit_some(make_basis(features[np.ix_(some, part)]), labels[some], classes, DEFAULT_STRENGTH)
        for part in columns
    ]
    stages = stage_heads(heads, columns, sizes, own[some])
    if held is None:
        return stages, Transfer(None, TOO_FEW_HELD)
    theirs, mine, _, _ = held.with_copies()
    said = [each.logits(theirs[:, part]) for each, part in zip(heads, columns, strict=True)]
    every = np.arange(len(held.labels))
    distance = stages.distance(mine)
    tried = left_out(held, every, [head.logits(theirs), *said], distance, temperature)
    specimens = len(np.unique(held.specimen))
    if min(len(tried), specimens) < MIN_SPECIMENS:
        return stages, Transfer(None, TOO_FEW_HELD)
    return stages, transfer_of(tried, specimens)
