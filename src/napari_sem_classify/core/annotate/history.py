"""The classes and annotated tiles that feed one model, and one history of all that was done.

Strokes, class edits, corrections and tiles taken from other layers are steps of one line: undo
takes back whatever came last, so a class that was removed never comes back without its strokes.
"""

from __future__ import annotations

from collections.abc import Mapping

from napari_sem_classify.core.annotate.annotation_set import Annotations
from napari_sem_classify.core.annotate.edits import with_kept, with_stroke
from napari_sem_classify.core.annotate.merge import changed_onto
from napari_sem_classify.core.annotate.place import TilePlace
from napari_sem_classify.core.image.sem_image import SemImage

HISTORY = 200


class History:
    """The annotations that feed one model, and the steps that led to them.

    Attributes
    ----------
    known : set of str
        Fingerprints of the images taken in.
    """

    def __init__(self) -> None:
        self.annotations = Annotations()
        self.known: set[str] = set()
        self._past: list[Annotations] = []
        self._future: list[Annotations] = []
        self._joined = ""

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return bool(self._past)

    @property
    def can_redo(self) -> bool:
        """Whether there is a step to do again."""
        return bool(self._future)

    def edit(self, new: Annotations, *, join: str = "") -> None:
        """Make a step; steps in a row with the same word to `join` them are one for undo."""
        if new == self.annotations:
            return
        if self._past and new == self._past[-1] and not join:
            self.undo()  # the viewer's own undo came first
            return
        if not (join and join == self._joined):
            self._past = [*self._past[-HISTORY:], self.annotations]
        self._joined = join
        self._future = []
        self._set(new)

    def undo(self) -> None:
        """Take the last step back."""
        if self._past:
            self._future.append(self.annotations)
            self._joined = ""
            self._set(self._past.pop())

    def redo(self) -> None:
        """Do the step again that was taken back last."""
        if self._future:
            self._past.append(self.annotations)
            self._joined = ""
            self._set(self._future.pop())

    def _set(self, annotations: Annotations) -> None:
        self.annotations = annotations

    def take_in(self, image: SemImage, key: str, kept: Annotations | None) -> None:
        """Know an image from here on, in what lies behind undo too, with what was kept of it."""
        first = key not in self.known
        self.known.add(key)

        def known(annotations: Annotations) -> Annotations:
            annotations = annotations.with_image(image, key)
            return with_kept(annotations, image, key, kept) if kept and first else annotations

        self._past = [known(state) for state in self._past]
        self._future = [known(state) for state in self._future]
        self._set(known(self.annotations))

    def follow(self, before: Annotations, after: Annotations) -> None:
        """Take over what somebody else changed from `before` to `after`; undo leaves it."""
        self._past = [changed_onto(state, before, after) for state in self._past]
        self._future = [changed_onto(state, before, after) for state in self._future]
        self._joined = ""
        self._set(changed_onto(self.annotations, before, after))

    def add_from(self, image: SemImage, key: str, found: Annotations) -> bool:
        """Add what a file says about an image or its planes; False where it says nothing."""
        if not found.images_of(image, key):
            return False
        self.edit(with_kept(self.annotations, image, key, found))
        return True

    def mark(
        self,
        key: str,
        tiles: Mapping[TilePlace, str | None],
        *,
        correction: bool = False,
        join: str = "",
    ) -> None:
        """Give tiles of an image or plane a class, or take it away (None), in one step."""
        self.edit(with_stroke(self.annotations, key, tiles, correction), join=join)
