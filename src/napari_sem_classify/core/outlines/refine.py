"""Edges of the image draw the outlines: probabilities flow between cells that look alike.

Each cell's probabilities become the mean of its own evidence and of its four neighbours', a
neighbour counting by how alike the two are in brightness and contrast (the random walker with
evidence of Grady, 2005, its linear equations solved by a fixed number of Jacobi rounds). A fixed
number of rounds reaches a fixed number of cells far.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LIKENESS = 100.0
"""How fast a neighbour counts less with the squared difference, of grey values 0 to 1."""
OWN = 0.01
"""Weight of the cell's own evidence beside that of a neighbour that looks the same."""
HELD = np.float32(100.0)
"""The same of a cell that is known."""
ROUNDS = 50
_LEAST = 1e-4


def refined(
    evidence: NDArray[np.float32],
    guide: NDArray[np.float32],
    own: float = OWN,
    rounds: int = ROUNDS,
    held: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Probabilities after the flow.

    Parameters
    ----------
    evidence : float32, shape (rows, cols, classes)
        Probabilities, NaN in cells left out, which neither give nor take.
    guide : float32, shape (rows, cols, numbers)
        What tells whether two cells look alike.
    held : bool, shape (rows, cols), optional
        Cells that are known, which give and hardly take.

    Returns
    -------
    float32, shape (rows, cols, classes)
        Sum to 1 over the classes; NaN where the evidence is.
    """
    known = ~np.isnan(evidence[..., 0])
    down = _likeness(guide[:-1], guide[1:]) * (known[:-1] & known[1:])[..., None]
    right = _likeness(guide[:, :-1], guide[:, 1:]) * (known[:, :-1] & known[:, 1:])[..., None]
    weight = np.full((*known.shape, 1), np.float32(own))
    if held is not None:
        weight[held] = HELD
    total = weight.copy()
    total[:-1] += down
    total[1:] += down
    total[:, :-1] += right
    total[:, 1:] += right
    first = weight * np.where(known[..., None], evidence, np.float32(0))
    now = np.where(known[..., None], evidence, np.float32(0))
    for _ in range(rounds):
        flown = first.copy()
        flown[:-1] += down * now[1:]
        flown[1:] += down * now[:-1]
        flown[:, :-1] += right * now[:, 1:]
        flown[:, 1:] += right * now[:, :-1]
        flown /= total
        now = flown
    now[~known] = np.nan
    return np.asarray(now, dtype=np.float32)


def _likeness(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    difference = ((one - other) ** 2).sum(axis=-1, keepdims=True)
    return np.asarray(np.exp(-LIKENESS * difference) + np.float32(_LEAST), dtype=np.float32)
