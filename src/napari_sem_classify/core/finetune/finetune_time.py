"""How much work a training is: tiles of a batch, and the time that is left of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.finetune.finetune_presets import Preset
from napari_sem_classify.core.teach.turned import N_COPIES

BATCH_AT_224 = {"cpu": 16, "mps": 32, "cuda": 128}
SHARES = (0.25, 0.5, 0.75)
"""Shares of the trained weights that are tried after the last epoch."""

FIXED_PX = 64
"""What a tile costs whatever its size, as the side of a tile that would cost as much. On a CPU in
bfloat16 a tile of 64, 128 and 224 px took 28, 61 and 152 ms."""

ENOUGH_TURNED, MOST_TURNED = 160, 1000
"""Few cases are each turned in several ways, until there are enough; of many only a part is."""

MOST_WEIGHED = 2 * len(SHARES) + 1
"""Networks between which is chosen after the last epoch, see `finetune_start`."""

LEARNING, LOOKING = 3.0, 1.0
"""Work of a tile that is learned from with all layers (there and back), and of one looked at."""

SCORING = "Scoring the model"
"""Stage of the progress after the last epoch: counted in tiles, not in batches."""

FIRST_BATCHES = 3
"""The first batches get the processor ready: nothing is foretold from them."""


def batch_size_for(device: str, size: int, n_train: int) -> int:
    """Tiles of a batch: as many pixels at every size, and at least sixteen batches an epoch.

    Of few tiles more steps teach more than quieter ones. Never fewer than eight: statistics of
    batch-norms from fewer are mostly noise (Wu & He 2018,
    arXiv 1803.08494, figure 1).

    Parameters
    ----------
    device : {"cpu", "mps", "cuda"}
    size : int
        Side of the network's input in pixels.
    n_train : int
        Tiles (or images) of an epoch.
    """
    most = BATCH_AT_224[device] * (224 / size) ** 2
    limit = 64 if device == "cpu" else 512
    return int(max(8, min(most, limit, n_train // 16)))


def tile_work(size: int) -> float:
    """Work of a tile, of which `LOOKING` or `LEARNING` times as much is done."""
    return float(size**2 + FIXED_PX**2)


def turned_count(cases: int) -> int:
    """How many cases that choose are turned, see `finetune_turned`."""
    return min(cases, MOST_TURNED) * max(1, min(N_COPIES, ENOUGH_TURNED // max(1, cases)))


@dataclass(slots=True)
class TimeLeft:
    """Foretells the end of a training from the batches done, whatever their sizes.

    Parameters
    ----------
    preset : Preset
    n_train, n_valid : int
        Tiles to learn from, and those that are scored after every epoch.
    device : {"cpu", "mps", "cuda"}
    n_test : int
        Tiles that are scored at the end.
    """

    preset: Preset
    n_train: int
    n_valid: int
    device: str
    n_test: int = 0
    _batches: NDArray[np.float64] = field(init=False)
    _work: NDArray[np.float64] = field(init=False)
    _scoring: float = field(init=False)
    _start: tuple[float, float] | None = field(init=False, default=None)
    _seen: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        batches, work = [0], [0.0]
        n_train = self.preset.in_epoch(self.n_train)
        n_valid, n_test = (self.preset.to_score(n) for n in (self.n_valid, self.n_test))
        for stage in self.preset.stages:
            each = max(1, -(-n_train // batch_size_for(self.device, stage.size, n_train)))
            for epoch in range(stage.epochs):
                learned = LOOKING if epoch < stage.epochs_frozen else LEARNING
                tiles = learned * n_train + LOOKING * n_valid
                batches.append(each)
                work.append(tile_work(stage.size) * tiles)
        self._batches, self._work = np.cumsum(batches, dtype=float), np.cumsum(work)
        averaged = self.preset.average and self.preset.head_first
        chosen_from = averaged * MOST_WEIGHED * (n_valid + turned_count(n_valid))
        looked_at = chosen_from + n_valid + n_test
        self._scoring = LOOKING * tile_work(self.preset.stages[-1].size) * looked_at

    @property
    def batches(self) -> int:
        """Batches of the whole training."""
        return int(self._batches[-1])

    @property
    def total(self) -> float:
        """Work of the whole training: tiles times their pixels, times `LEARNING` or `LOOKING`."""
        return self._scoring + float(self._work[-1])

    def work_until(self, batch: int, scored: float = 0.0) -> float:
        """Share of the work that is done after so many batches, 0 to 1.

        `scored` is the share of the scoring after the last epoch.
        """
        done = self._scoring * scored + float(np.interp(batch, self._batches, self._work))
        return done / self.total

    def epochs_until(self, batch: int) -> float:
        """Epochs that are done after so many batches, as a decimal number."""
        return float(np.interp(batch, self._batches, np.arange(len(self._batches))))

    def seconds(self, batch: int, now: float, scored: float = 0.0) -> float | None:
        """Seconds left after `batch` batches at the time `now`; None while it is too early.

        A training that goes on from a checkpoint begins at its own first batch.
        """
        self._seen += 1
        if self._seen <= FIRST_BATCHES or self._start is None:
            self._start = (self.work_until(batch, scored), now)
            return None
        done, begun = self._start
        share, took = self.work_until(batch, scored), now - begun
        return took * (1.0 - share) / (share - done) if share > done and took > 0 else None
