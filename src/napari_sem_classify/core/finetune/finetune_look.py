"""What a network says of tiles, batch by batch, without learning.

Imports torch: import this module inside functions only.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sem_classify.core.common.job import Reporter
from napari_sem_classify.core.finetune.finetune_data import PlainBatches
from napari_sem_classify.core.finetune.finetune_network import TrainedNetwork
from napari_sem_classify.core.model.head import softmax
from napari_sem_classify.core.teach.logistic import LOWEST_TEMPERATURE, fit_temperature


def look(function: Callable[[Tensor], Tensor], batches: PlainBatches, reporter: Reporter) -> Tensor:
    """What a network gives for every tile of some batches, float32 on the CPU, tiles first.

    Raises
    ------
    Cancelled
        Within a batch of the wish, where the reporter knows of it.
    """
    found = []
    with torch.inference_mode():
        for grey, _ in batches:
            found.append(function(grey).float())
            reporter.advance(len(grey))
    return torch.cat(found).cpu()  # at once: to wait at every batch would let a GPU idle


def predict(model: TrainedNetwork, batches: PlainBatches, reporter: Reporter) -> Tensor:
    """Logits of every tile of some batches, shape (tiles, classes); see `look`."""
    return look(model.eval(), batches, reporter)


def mean_probabilities(
    logits: Tensor, batches: PlainBatches, temperature: float = 1.0
) -> NDArray[np.float32]:
    """Probabilities of each unit: the mean over its tiles, shape (units, classes)."""
    values: NDArray[np.float32] = logits.detach().float().cpu().numpy()
    return batches.unit_means(softmax(values / np.float32(temperature)))


def temperature_of(logits: Tensor, batches: PlainBatches) -> float:
    """Temperature that makes the logits of these tiles most likely."""
    values = logits.detach().float().cpu().numpy()
    return max(LOWEST_TEMPERATURE, fit_temperature(values, batches.label))
