"""What there is to write: class maps and all that is known of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from napari_sem_classify.core.common.errors import OutputError
from napari_sem_classify.core.image.file_names import stem_of
from napari_sem_classify.core.image.sem_image import SemImage, plane_suffix
from napari_sem_classify.core.maps.class_map import ClassMap
from napari_sem_classify.core.maps.map_file import SavedMap

if TYPE_CHECKING:
    from napari_sem_classify.core.export.figure import FigureLook
    from napari_sem_classify.core.measure.area_fraction import FractionEstimate, Share
    from napari_sem_classify.core.measure.field_statistics import FieldSpread
    from napari_sem_classify.core.model.card import ModelCard


@dataclass(frozen=True, slots=True)
class Measured:
    """Class maps and all that is known of them.

    Attributes
    ----------
    maps : sequence of ClassMap
        At least one, of the same classes.
    images : sequence of SemImage or None
        One a map; None where the image is not at hand.
    estimate : FractionEstimate or None
        From one review of all the maps.
    powered : sequence of Share or None
        The prediction-powered estimate of that review.
    spreads : sequence of FieldSpread or None
        One a class, over the maps.
    card : ModelCard or None
        Of the model that made the maps; where it is not given, a report looks for it.
    saved : sequence of SavedMap
        As each map was read, or as the viewer shows it; empty where neither is so.
    blind : bool or None
        Whether that review was blind; None where that is not known.
    look : FigureLook or None
        Of figures.
    title : str
        Of a report; "" for one that names the images.
    failures : mapping of str to str
        Files that could not be used and why, for a report.
    """

    maps: Sequence[ClassMap]
    images: Sequence[SemImage | None]
    estimate: FractionEstimate | None = None
    powered: Sequence[Share] | None = None
    spreads: Sequence[FieldSpread] | None = None
    card: ModelCard | None = None
    saved: Sequence[SavedMap] = field(default=())
    blind: bool | None = None
    look: FigureLook | None = None
    title: str = ""
    failures: Mapping[str, str] = field(default_factory=dict)

    @property
    def map(self) -> ClassMap:
        """The map, for what is written of one map at a time."""
        return self.maps[0]

    @property
    def image(self) -> SemImage:
        """The image of that map, for what shows it."""
        return self.need_images("it")[0]

    def need_images(self, title: str) -> list[SemImage]:
        """The image of each map.

        Parameters
        ----------
        title : str
            What is to be written, for the message.

        Raises
        ------
        OutputError
            When one is not at hand.
        """
        images = []
        for class_map, image in zip(self.maps, self.images, strict=True):
            if image is None:
                raise OutputError(
                    f"The image of {class_map.image_name or 'this map'} is not open: open it to "
                    f"write {title}."
                )
            images.append(image)
        return images

    def one(self, number: int) -> Measured:
        """What is known of one of the maps: a pooled estimate is none of one image of several."""
        if len(self.maps) == 1:
            return self
        maps, images = [self.maps[number]], [self.images[number]]
        saved = self.saved[number : number + 1]
        one = replace(self, maps=maps, images=images, saved=saved)
        return replace(one, estimate=None, powered=None, spreads=None)


def file_stem(class_map: ClassMap) -> str:
    """Start of the names of a map's files."""
    return stem_of(class_map.image_name or "class map") + plane_suffix(class_map.plane)
