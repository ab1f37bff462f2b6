"""What a batch will do, told before it runs: images, tiles, time, and what is not in order."""

from __future__ import annotations

from napari_sem_classify.core.batch.batch_plan import BatchPlan
from napari_sem_classify.core.model.catalogue import ModelEntry
from napari_sem_classify.plugin.app.text import count_text, counted
from napari_sem_classify.plugin.forms.device_form import DeviceForm
from napari_sem_classify.plugin.forms.layout import Form, Note


class PlanForm:
    """Notes below the images of a batch; how much work it is stands above the button."""

    def __init__(self, form: Form, foot: Form, device_form: DeviceForm) -> None:
        self._device_form = device_form
        self.scale = Note("Scale of model and images")
        self.estimate = Note("Number of images and tiles, and expected time")
        self.earlier = Note("Images finished by an earlier run")
        self.unusable = Note("Files that cannot be opened")
        form.wide(self.scale, self.earlier, self.unusable)
        foot.wide(self.estimate)

    def clear(self, text: str = "") -> None:
        """Tell nothing of a plan, but perhaps why."""
        for note in (self.scale, self.earlier, self.unusable):
            note.say("")
        self.estimate.say(text)

    def show(
        self,
        plan: BatchPlan,
        entry: ModelEntry | None,
        *,
        again: bool,
        looking: bool,
        cost: float = 1.0,
    ) -> None:
        """Tell a plan; with `again` finished images are done once more.

        `cost` is the time of a tile of the plan in that of a tile looked at alone.
        """
        self.clear()
        finished = 0 if again else len(plan.finished)
        tiles = sum(plan.tiles.values()) if again else plan.tiles_to_do
        to_do = len(plan.tiles) - finished
        words = [images_text(to_do), counted(tiles, "tile")]
        words += self._device_form.expected(entry, cost * tiles)
        if looking:
            words.append("looking again…")
        self.estimate.say(" · ".join(words) if to_do else "")
        if finished and to_do:
            self.earlier.say(f"{finished} of {plan.images} done earlier: they are not done again.")
        elif finished:
            self.earlier.say(
                f"All done: {images_text(finished)} finished with this model and these settings. "
                "A run only writes table and report anew."
            )
        if plan.problems:
            first = plan.problems[min(plan.problems)]
            more = f" {len(plan.problems) - 1} more like it." if len(plan.problems) > 1 else ""
            others = " The others are classified all the same." if plan.tiles else ""
            self.unusable.warn(f"{first}{more}{others}")
        if plan.scale_notes:
            first, count = plan.scale_notes[0], len(plan.scale_notes) - 1
            self.scale.warn(first + (f"; {count} more images alike." if count else "."))


def images_text(count: int) -> str:
    """A count of images: "1 image", "7 552 images"."""
    return f"{count_text(count)} image{'' if count == 1 else 's'}"
