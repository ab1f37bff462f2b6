"""How a network is trained: sizes, epochs, rates, augmentation; the article's way and this one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from napari_sem_classify.core.common.errors import DatasetError
from napari_sem_classify.core.finetune.augmentation import Augmentation


@dataclass(frozen=True, slots=True)
class Stage:
    """Training at one size of the network's input.

    Attributes
    ----------
    size : int
        Side of the network's input in pixels.
    epochs_frozen, epochs_unfrozen : int
        One-cycle epochs of the head alone, then of all layers.
    lr_frozen, lr_unfrozen : float
        Highest learning rate of the head in each.
    """

    size: int
    epochs_frozen: int
    epochs_unfrozen: int
    lr_frozen: float
    lr_unfrozen: float

    @property
    def epochs(self) -> int:
        """Epochs in all."""
        return self.epochs_frozen + self.epochs_unfrozen


@dataclass(frozen=True, slots=True)
class Preset:
    """A way to train.

    Attributes
    ----------
    stages : tuple of Stage
        In order of training.
    pooled_stages : tuple of int
        Stages of the network whose pooled outputs the head sees.
    head_first : bool
        Whether the head starts as the exact fit on the network's own features, before any layer
        moves (LP-FT, Kumar et al. 2022, arXiv 2202.10054), instead of at random.
    earlier_layers : float
        Learning rate of the first layers as a share of the head's when all layers learn; those
        between lie evenly on a log scale.
    label_smoothing : float
        Share of each label given to the other classes (Szegedy et al. 2016).
    balance : float
        0 draws tiles as often as they are, 1 every class equally often; between, classes are drawn
        in proportion to their tiles to the power 1 - balance.
    dropout : float
        Before the head.
    fixed_norms : bool
        Whether the batch-norms keep the statistics they came with. Where they do not and the head
        comes first, they take those of the tiles before the head is fitted, unless the head can
        only guess then.
    mixup : float
        Parameter of the Beta distribution (Zhang et al. 2018), 0 for no mixup.
    epoch_tiles : int or None
        Tiles drawn in an epoch; None for as many as there are, those of one place counted as one.
    average : bool
        Whether weights between the exact head's start and the end are tried too, and kept where
        they score better (WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903).
    patience : int or None
        Epochs without a better macro-F1 after which a phase ends early; None for never.
    further_rounds : int
        So many of the last stages are tried only as long as it pays: the first of them, or the
        stage before, that brings nothing better is the last.
    scored_tiles : int or None
        At most so many that choose, and as many that are scored at the end; None for all.
    follows_tiles : bool
        Whether the sizes are those that suit the tiles, see `sizes_for`.
    """

    name: str
    stages: tuple[Stage, ...]
    augmentation: Augmentation
    pooled_stages: tuple[int, ...] = (2, 3, 4)
    head_first: bool = True
    earlier_layers: float = 0.1
    label_smoothing: float = 0.1
    balance: float = 0.5
    weight_decay: float = 0.01
    dropout: float = 0.1
    fixed_norms: bool = True
    mixup: float = 0.0
    epoch_tiles: int | None = None
    average: bool = True
    patience: int | None = None
    further_rounds: int = 0
    scored_tiles: int | None = None
    follows_tiles: bool = False

    @property
    def epochs(self) -> int:
        """Epochs in all."""
        return sum(stage.epochs for stage in self.stages)

    def in_epoch(self, n_train: int) -> int:
        """Tiles (or images) of an epoch where there are so many to learn from."""
        return n_train if self.epoch_tiles is None else self.epoch_tiles

    def to_score(self, count: int) -> int:
        """Tiles (or images) that are scored where so many are held out."""
        return count if self.scored_tiles is None else min(count, self.scored_tiles)


ARTICLE = Preset(
    name="article",
    stages=(
        Stage(64, 10, 5, 5e-3, 1e-3),
        Stage(128, 10, 5, 1e-3, 1e-3),
        Stage(224, 10, 5, 5e-4, 1e-3),
    ),
    augmentation=Augmentation(flips=True, rotation_deg=10.0, gain=0.2, offset=0.1),
    pooled_stages=(4,),
    head_first=False,
    earlier_layers=1.0,
    label_smoothing=0.0,
    balance=0.0,
    dropout=0.5,
    fixed_norms=False,
    average=False,
)
"""The article's schedule ("The Augmented Scientist, part 1", 2020), with its body really unfrozen.

The head is linear on mean-pooled features, as every model of this program; fastai's own has a
hidden layer of 512 and max-pooled features beside them.
"""

SEM = Preset(
    name="sem",
    stages=(Stage(128, 0, 8, 1e-3, 1e-3),),
    augmentation=Augmentation(
        flips=True,
        quarter_turns=True,
        magnification=0.05,
        gain=0.1,
        offset=0.05,
        gamma=0.25,
        defocus_px=0.8,
        shot_noise=0.06,
        line_noise=0.01,
        charging=0.05,
    ),
    label_smoothing=0.05,
    follows_tiles=True,
)
"""The default: the exact head first, then all layers at the tiles' own size, early ones gently.

Batch-norms keep the statistics of photographs. Where they took those of the tiles, the head was far
worse on other specimens before any layer had learned, and trainings seldom made up for it; weights
between start and end are of use only where features mean the same in both. Of as many pixels, the
tiles' own size taught more than smaller ones first: a texture at half its size is another one.
"""

PRESETS = {preset.name: preset for preset in (SEM, ARTICLE)}
DEFAULT_PRESET = SEM.name

LEAST_PX, LARGEST_PX = 128, 224
"""Smaller tiles are shown larger to the network, larger ones smaller, as it was pretrained."""


def sizes_for(tile_px: int | None) -> tuple[int, ...]:
    """Sizes of the network's input, one after another, for tiles of this side: their own alone.

    Parameters
    ----------
    tile_px : int or None
        In pixels of the image; None for whole images.

    Returns
    -------
    tuple of int
        In px, `LEAST_PX` to `LARGEST_PX`.
    """
    return (LARGEST_PX if tile_px is None else min(LARGEST_PX, max(LEAST_PX, tile_px)),)


def make_preset(
    name: str = DEFAULT_PRESET,
    *,
    tile_px: int | None = None,
    sizes: Sequence[int] | None = None,
    epochs: int | None = None,
    mixup: float | None = None,
    patience: int | None = None,
) -> Preset:
    """Give a preset with the user's sizes and epochs.

    Parameters
    ----------
    name : str
        Of `PRESETS`.
    tile_px : int, optional
        Side of the tiles in pixels of the image, None for whole images: the sizes of a preset that
        follows the tiles are `sizes_for` it.
    sizes : sequence of int, optional
        Other network input sizes in px, 32 to 1024, one stage each; a further stage is as the last
        one.
    epochs : int, optional
        Epochs of every stage, shared out between head and all layers as in the preset; at least
        one trains all layers.
    mixup, patience : optional
        See `Preset`.

    Raises
    ------
    DatasetError
        When there is no such preset, or a number is out of range.
    """
    if name not in PRESETS:
        raise DatasetError(f"There is no preset {name!r}: choose {' or '.join(PRESETS)}.")
    preset = PRESETS[name]
    stages = preset.stages
    if sizes is None and preset.follows_tiles:
        sizes = sizes_for(tile_px)
    if sizes is not None:
        if not sizes or not all(32 <= size <= 1024 for size in sizes):
            raise DatasetError("Sizes have to be 32 to 1024 px, for example 64,128,224.")
        stages = tuple(
            replace(stages[min(index, len(stages) - 1)], size=size)
            for index, size in enumerate(sizes)
        )
    if epochs is not None:
        if not 1 <= epochs <= 1000:
            raise DatasetError(f"{epochs} epochs cannot be trained: choose 1 to 1000.")
        stages = tuple(_with_epochs(stage, epochs) for stage in stages)
    wanted: dict[str, Any] = {"mixup": mixup, "patience": patience}
    given = {name: value for name, value in wanted.items() if value is not None}
    return replace(preset, stages=stages, **given)


def _with_epochs(stage: Stage, epochs: int) -> Stage:
    unfrozen = max(1, round(epochs * stage.epochs_unfrozen / stage.epochs))
    return replace(stage, epochs_frozen=epochs - unfrozen, epochs_unfrozen=unfrozen)
