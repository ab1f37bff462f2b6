"""A review under way: which cell is next, what was answered, where it is kept.

Each answer is written at once, so that a crash or a closed window loses none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.core.common.log import log_unexpected
from napari_sem_classify.core.measure.area_fraction import (
    FractionEstimate,
    Share,
    count_review,
    estimate_fractions,
)
from napari_sem_classify.core.measure.prediction_powered import estimate_prediction_powered
from napari_sem_classify.core.measure.review import (
    SKIPPED,
    UNSURE,
    Answer,
    Review,
    ReviewCell,
    extend_review,
    start_review,
)
from napari_sem_classify.core.measure.review_file import save_review
from napari_sem_classify.core.measure.review_place import find_review, free_place, review_stem
from napari_sem_classify.plugin.app.dock import tell_unsaved
from napari_sem_classify.plugin.measure.fields import Field, image_path_of

if TYPE_CHECKING:
    from napari.components import ViewerModel


@dataclass(frozen=True, slots=True)
class Corrected:
    """What a review says of the area fractions.

    `powered` is None where the maps tell no confidence, `blind`, whether the map was hidden at
    every answer, None where that is not known.
    """

    estimate: FractionEstimate
    powered: tuple[Share, ...] | None
    blind: bool | None = None


class Reviewer:
    """The review of some fields, which it holds in the review's order.

    While it is `active` cells are being shown, the one at `at` now. The `note` tells of a review
    that does not count here, the `problem` why answers could not be written.
    """

    changed = Signal()  # another cell, another answer, another review

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._path: Path | None = None
        self._stem = ""
        self._history: list[int] = []
        self._unsaved = False
        self.fields: list[Field] = []
        self.review: Review | None = None
        self.active = False
        self.at: int | None = None
        self.note = ""
        self.problem = ""

    @property
    def path(self) -> Path | None:
        """Where the answers are written."""
        return self._path

    @property
    def cell(self) -> ReviewCell | None:
        """The cell to look at."""
        if self.review is None or self.at is None or not self.active:
            return None
        return self.review.cells[self.at]

    @property
    def finished(self) -> bool:
        """Whether every cell has an answer."""
        return self.review is not None and self.review.n_answered == len(self.review.cells)

    def use(self, fields: Sequence[Field]) -> None:
        """Take up the review that belongs to these maps, if there is one."""
        self.pause()
        if self._unsaved:
            self._save()
        self.fields, self.review, self.note, self.problem = list(fields), None, "", ""
        self._path, self._history, self.at = None, [], None
        if fields:
            maps = [field.class_map for field in fields]
            path = image_path_of(self._viewer, fields[0].layer)
            found = find_review(maps, path, user_folder())
            self._stem = review_stem(maps, path)
            self.review, self._path, self.note = found.review, found.path, found.note
            self.fields = [fields[index] for index in found.order]
        self.changed.emit()

    # ------------------------------------------------------------------ going through the cells

    def start(self, total: int) -> None:
        """Draw a new sample and begin.

        Raises
        ------
        AnnotationError
            When the maps have no class in common, or no cell has a class.
        """
        maps = [field.class_map for field in self.fields]
        review = start_review(maps, total)
        if self.review is not None:  # an earlier one stays in its file
            self._path = None if self._path is None else free_place(self._path.parent, self._stem)
        self._begin(review)

    def extend(self, per_class: Sequence[int]) -> None:
        """Add cells to the review and go on.

        Raises
        ------
        AnnotationError
            When the maps are others by now.
        """
        if self.review is not None:
            maps = [field.class_map for field in self.fields]
            self._begin(extend_review(self.review, maps, per_class))

    def go_on(self) -> None:
        """Show the next cell of a review that was paused."""
        if self.review is not None and not self.finished:
            self.active = True
            self.at = self.review.next_open
            self.changed.emit()

    def _begin(self, review: Review) -> None:
        self.review, self.note, self._history = review, "", []
        self._save()
        self.active = True
        self.at = review.next_open
        self.changed.emit()

    def answer(self, answer: Answer) -> None:
        """Note what the cell is and go on to the next."""
        if self.review is None or self.at is None or not self.active:
            return
        here = self.at
        # What was in view counts, not what was ticked: layers can be shown by hand.
        hidden = not self.fields[self.review.cells[here].image].layer.visible
        self.review = self.review.with_answer(here, answer, blind=hidden)
        self._history.append(here)
        self._save()
        self.at = _next_after(self.review, here)
        if self.at is None:
            self.active = False
        self.changed.emit()

    def later(self) -> None:
        """Leave the cell for the end."""
        if self.cell is not None:
            # A cell that was answered keeps its answer.
            answered = self.cell.answer
            self.answer(SKIPPED if answered is None else answered)

    def back(self) -> None:
        """Go back to the cell before, to answer it again."""
        if self.review is None or self.at is None or not self.active:
            return
        if self._history:
            self.at = self._history.pop()
        else:
            told = [i for i in range(self.at) if self.review.cells[i].answer is not None]
            self.at = told[-1] if told else self.at
        self.changed.emit()

    def pause(self) -> None:
        """Show no cell any more; all answers are kept."""
        if self.active:
            self.active = False
            self.changed.emit()

    def stop(self) -> None:
        """End; what could not be saved is tried once more, and told."""
        self.pause()
        if self._unsaved:
            self._save()
            if self.problem:
                tell_unsaved(self.problem)

    # ------------------------------------------------------------------ what it says

    def corrected(self) -> Corrected | None:
        """Corrected fractions.

        Raises
        ------
        AnnotationError
            When no cell has a class yet.
        """
        if self.review is None:
            return None
        maps = [field.class_map for field in self.fields]
        counts = count_review(self.review)
        names = [info.name for info in self.review.classes]
        sizes = {class_map.pixel_size_nm for class_map in maps}
        estimate = estimate_fractions(
            counts, names, pixel_size_nm=sizes.pop() if len(sizes) == 1 else None
        )
        powered = None
        if all(class_map.confidence_known for class_map in maps):
            powered = estimate_prediction_powered(self.review, maps)
        return Corrected(estimate, powered, self.review.blind)

    @property
    def n_unsure(self) -> int:
        """Cells that could not be told."""
        cells = () if self.review is None else self.review.cells
        return sum(cell.answer == UNSURE for cell in cells)

    # ------------------------------------------------------------------ keeping it

    def _save(self) -> None:
        if self.review is None or self._path is None:
            return
        self.problem, self._unsaved = "", True
        places = [self._path]
        if self._path.parent != user_folder():
            # A stick that was pulled out, a folder that became read-only: then our own.
            own = user_folder() / self._path.name
            places.append(free_place(own.parent, self._stem) if own.exists() else own)
        for path in places:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                save_review(self.review, path)
            except (SemClassifyError, OSError) as error:
                self.problem = f"Answers are not saved yet: {error}"
            except Exception as error:  # whatever it is: the next answer tries again
                said = log_unexpected(error, "saving the review")
                self.problem = f"Answers are not saved yet: {said}"
            else:
                self._path, self.problem, self._unsaved = path, "", False
                return


def user_folder() -> Path:
    """The folder of reviews that cannot lie beside their image."""
    from platformdirs import user_data_path

    return Path(user_data_path("napari-sem-classify", appauthor=False)) / "reviews"


def _next_after(review: Review, here: int) -> int | None:
    """Cell to show after the one at `here`; None at the end."""
    first = review.next_open
    if first is None or review.cells[first].answer is None:
        return first
    # Those left for later come round in turn.
    left = (i for i, cell in enumerate(review.cells) if i > here and cell.answer == SKIPPED)
    return next(left, first)
