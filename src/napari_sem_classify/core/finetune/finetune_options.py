"""What a fine-tuning is asked to do, in one object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from napari_sem_classify.core.common.digest import digest_of
from napari_sem_classify.core.evaluate.dataset_split import Split
from napari_sem_classify.core.evaluate.training_set import TrainingSet
from napari_sem_classify.core.finetune.finetune_presets import SEM, Preset
from napari_sem_classify.core.network.backbone import DEFAULT_BACKBONE


@dataclass(frozen=True, slots=True)
class FineTuneOptions:
    """How to train, where, and under what name.

    Attributes
    ----------
    preset : Preset
        See `make_preset`.
    device : str
        "auto", "cpu", "cuda", "cuda:1", "mps".
    seed : int
        The same seed, set and split give the same model on the same CPU with as many threads.
    search_rate : bool
        Look for a learning rate before each stage instead of taking the preset's.
    time : str
        The pace that the preset was planned for, for the record; "" for none.
    backbone_id : str
        Where the weights start from.
    batch_size : int or None
        Chosen by device, size and number of tiles where None.
    name : str
        Of the model.
    colours : mapping of str to str
        ``#rrggbb`` by class name; the usual ones for the others.
    contains : mapping of str to float
        Of classes that are found by what tiles hold, see `ClassInfo`.
    checkpoint : Path or None
        File in which the training is kept about once a minute, and from which the same training
        goes on if it was killed. It is removed at the end.
    """

    preset: Preset = SEM
    device: str = "auto"
    seed: int = 0
    search_rate: bool = False
    time: str = ""
    backbone_id: str = DEFAULT_BACKBONE
    batch_size: int | None = None
    name: str = "Fine-tuned model"
    colours: Mapping[str, str] = field(default_factory=dict)
    contains: Mapping[str, float] = field(default_factory=dict)
    checkpoint: Path | None = None

    def run_id(self, data: TrainingSet, split: Split) -> str:
        """Name a training: one that was killed goes on only where all that changes it is equal."""
        free = replace(self, name="", colours={}, contains={}, device="", checkpoint=None)
        return digest_of(data.fingerprint(), split, free)


DEFAULT_OPTIONS = FineTuneOptions()
