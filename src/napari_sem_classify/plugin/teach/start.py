"""A model of a file that is taught further, in place of a new one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from napari_sem_classify.core.annotate.annotation_set import Annotations
from napari_sem_classify.core.common.errors import AnnotationError
from napari_sem_classify.core.model.card import ModelCard
from napari_sem_classify.core.model.catalogue import ModelEntry
from napari_sem_classify.core.model.head import TileClassifier
from napari_sem_classify.core.model.recipe import Recipe
from napari_sem_classify.core.teach.further import check_further, recipe_of
from napari_sem_classify.core.teach.learn_further import new_tiles
from napari_sem_classify.plugin.app.text import count_text

NONE_YET = "Annotate a tile of an image that is new to the model first."


@dataclass(frozen=True, slots=True)
class Start:
    """The model to start from; raises `ModelError` where it cannot be taught further."""

    entry: ModelEntry
    classifier: TileClassifier

    def __post_init__(self) -> None:
        check_further(self.classifier.card)

    @property
    def card(self) -> ModelCard:
        """Card of the model."""
        return self.classifier.card

    @property
    def recipe(self) -> Recipe:
        """How the model looks at tiles."""
        return recipe_of(self.card)

    @property
    def tiles(self) -> int:
        """Tiles that taught the model."""
        images = self.card.record.get("images")
        rows = images if isinstance(images, list) else []
        return sum(_tiles_in(row) for row in rows if isinstance(row, Mapping))

    def with_classes(self, annotations: Annotations) -> Annotations:
        """Annotations that have the model's classes, behind those that are there already."""
        for info in self.card.classes:
            if info.name not in annotations.class_names:
                annotations = annotations.with_class(info.name, info.colour)
                annotations = annotations.with_rule(info.name, info.contains)
        return annotations

    def new(self, annotations: Annotations) -> Annotations:
        """The tiles that the model does not know yet."""
        return new_tiles(self.card, annotations)

    def count(self, annotations: Annotations, tile_px: int) -> int:
        """How many tiles of a size are new to the model."""
        images = self.new(annotations).images
        return sum(1 for image in images for place in image.marks if place[2] == tile_px)

    def check(self, annotations: Annotations, tile_px: int) -> None:
        """Refuse to save where there is nothing new."""
        if not self.count(annotations, tile_px):
            raise AnnotationError(NONE_YET)

    def said(self, annotations: Annotations) -> str:
        """What of the annotations does not teach this model, in a sentence, or ""."""
        ours = set(self.card.class_names)
        strange = {
            mark.class_name
            for image in annotations.images
            for mark in image.marks.values()
            if mark.class_name not in ours
        }
        if strange:
            return (
                f'{self.card.name} has no class "{sorted(strange)[0]}", and its tiles do not teach '
                "it: start from a new model for that."
            )
        new = {image.key for image in self.new(annotations).images}
        known = sum(len(each.marks) for each in annotations.images if each.key not in new)
        if known:
            return f"{count_text(known)} of these tiles are in {self.card.name} already."
        return ""


def _tiles_in(row: Mapping[str, Any]) -> int:
    tiles = row.get("tiles")
    counts = tiles.values() if isinstance(tiles, Mapping) else ()
    return sum(count for count in counts if isinstance(count, int))
