"""What is to be learned from, and what is worth knowing of it beforehand. No Qt, no viewer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_sem_classify.core.annotate.annotation_set import Annotations
from napari_sem_classify.core.common.job import Job
from napari_sem_classify.core.evaluate import training_set
from napari_sem_classify.core.evaluate.dataset import Listing, RowCrop, fewer_images
from napari_sem_classify.core.evaluate.dataset_split import Split
from napari_sem_classify.core.evaluate.training_set import TrainingSet
from napari_sem_classify.core.finetune.annotated_images import open_annotated, tile_counts
from napari_sem_classify.core.finetune.annotated_split import split_annotated
from napari_sem_classify.core.finetune.from_annotations import make_annotated_set
from napari_sem_classify.core.finetune.preview import annotated_examples, listed_examples
from napari_sem_classify.core.image.sem_image import SemImage
from napari_sem_classify.core.model.card import ClassInfo, default_colours
from napari_sem_classify.plugin.app.text import count_text

if TYPE_CHECKING:
    from napari_sem_classify.core.finetune.finetune_result import FineTuned

FEW = 20
UNEVEN = 10.0


@dataclass(frozen=True, slots=True)
class AnnotatedChoice:
    """Annotated tiles of the images to learn from, no others.

    `images` are those that are open in the viewer, by fingerprint; of a class with more than `most`
    tiles a random sample is drawn.
    """

    annotations: Annotations
    tile_px: int
    images: Mapping[str, SemImage] = field(default_factory=dict)
    most: int = 2000
    what: str = "tiles"

    @property
    def counts(self) -> dict[str, int]:
        """Tiles of each class that has some."""
        found = tile_counts(self.annotations, self.tile_px)
        return {name: count for name, count in found.items() if count}

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """Classes with tiles."""
        counts = self.counts
        return tuple(info for info in self.annotations.told_classes if info.name in counts)

    @property
    def name(self) -> str:
        """A name for the model."""
        return self.annotations.images[0].name if self.annotations.images else "model"

    def with_most(self, most: int | None, _seed: int) -> AnnotatedChoice:
        """The same with about so many tiles at most."""
        if most is None:
            return self
        return replace(self, most=min(self.most, max(FEW, most // max(1, len(self.counts)))))

    def make(self, largest_px: int, seed: int, job: Job) -> TrainingSet:
        """Cut the tiles; whoever calls discards the set."""
        tiles = open_annotated(self.annotations, self.tile_px, self.images, job)
        return make_annotated_set(
            tiles, largest_px=largest_px, max_tiles_per_class=self.most, seed=seed, job=job
        )

    def split(self, data: TrainingSet, _seed: int) -> Split:
        """Which tiles to learn from, and which to score on; nothing in it is drawn."""
        return split_annotated(data)

    def look_around(
        self, result: FineTuned, data: TrainingSet, split: Split, device: str, job: Job
    ) -> FineTuned:
        """What surrounds the tiles, and the judgement on other specimens, for a trained network."""
        from napari_sem_classify.core.finetune.annotated_head import with_surroundings

        tiles = open_annotated(self.annotations, self.tile_px, self.images, job)
        return with_surroundings(result, tiles, data, split, device, job)

    def examples(self, largest_px: int, job: Job) -> tuple[list[str], NDArray[np.uint8]]:
        """A tile of each of the first classes."""
        tiles = open_annotated(self.annotations, self.tile_px, self.images, job)
        return annotated_examples(tiles, largest_px)


@dataclass(frozen=True, slots=True)
class FolderChoice:
    """Images in class folders, or in a table of path and class.

    Whole images where there is no `tile_px`, without their info bar where there is no `crop`.
    """

    listing: Listing
    tile_px: int | None = None
    crop: RowCrop | None = None
    what: str = "images"

    @property
    def counts(self) -> dict[str, int]:
        """Images of each class."""
        return dict(zip(self.listing.class_names, self.listing.counts.tolist(), strict=True))

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """Classes in the usual colours."""
        names = self.listing.class_names
        return tuple(map(ClassInfo, names, default_colours(len(names))))

    @property
    def name(self) -> str:
        """A name for the model."""
        return self.listing.source.stem

    def with_most(self, most: int | None, seed: int) -> FolderChoice:
        """The same with about so many images at most, drawn by the seed."""
        return replace(self, listing=fewer_images(self.listing, most, seed))

    def make(self, largest_px: int, _seed: int, job: Job) -> TrainingSet:
        """Decode the images; whoever calls discards the set."""
        return training_set.make_training_set(
            self.listing, tile_px=self.tile_px, crop=self.crop, largest_px=largest_px, job=job
        )

    def split(self, data: TrainingSet, seed: int) -> Split:
        """Which images to learn from, and which to score on."""
        return training_set.split_listed(data, seed)

    def look_around(
        self, result: FineTuned, _data: TrainingSet, _split: Split, _device: str, _job: Job
    ) -> FineTuned:
        """The result as it is: what surrounds a listed image or tile is not known."""
        return result

    def examples(self, largest_px: int, job: Job) -> tuple[list[str], NDArray[np.uint8]]:
        """A tile of each of the first classes."""
        return listed_examples(self.listing, self.tile_px, self.crop, largest_px, job.check)


Choice = AnnotatedChoice | FolderChoice


def summary_text(choice: Choice) -> str:
    """How much there is to learn from: "124 tiles of 64 px · 3 classes · 2 images"."""
    counts = choice.counts
    total = count_text(sum(counts.values()))
    classes = "1 class" if len(counts) == 1 else f"{len(counts)} classes"
    if isinstance(choice, FolderChoice):
        cut = "" if choice.tile_px is None else f", cut into tiles of {choice.tile_px} px"
        return f"{total} images · {classes}{cut}"
    sizes = [{place[2] for place in image.marks} for image in choice.annotations.images]
    images = sum(choice.tile_px in each for each in sizes)
    several = "1 image" if images == 1 else f"{images} images"
    return f"{total} tiles of {choice.tile_px} px · {classes} · {several}"


def too_few(choice: Choice) -> str:
    """Why nothing can be learned, in one sentence; "" where something can."""
    counts = choice.counts
    if not counts:
        return "No tile of this size is annotated: annotate tiles in Teach, or take another size."
    if len(counts) < 2:
        only = next(iter(counts))
        return f'There is only the class "{only}": a second class is needed to tell it from.'
    return ""


def warnings(choice: Choice) -> list[str]:
    """What the user should think of before a training, a sentence each."""
    counts = choice.counts
    if len(counts) < 2:
        return []
    said = []
    few = [name for name, count in counts.items() if count < FEW]
    if few:
        some = ", ".join(few[:3]) + (" …" if len(few) > 3 else "")
        said.append(
            f"Fewer than {FEW} {choice.what} of {some}: Teach learns from so few at least as well."
        )
    least, most = min(counts.values()), max(counts.values())
    if most > UNEVEN * least:
        rare = min(counts, key=lambda name: counts[name])
        said.append(
            f"The classes are uneven ({round(most / least)} to 1): rare ones are drawn more often, "
            f"yet more {choice.what} of {rare} would help."
        )
    return said
