"""How and where tiles are looked at: the processor, and the way that suits the annotations."""

from __future__ import annotations

from dataclasses import replace

from magicgui import widgets
from qtpy.QtWidgets import QWidget

from napari_sem_classify.core.common.job import Progress
from napari_sem_classify.core.model.recipe import STANDARD, Recipe, RecipeChoice
from napari_sem_classify.core.teach.lesson import TeachingSet
from napari_sem_classify.core.teach.recipes import choose_recipe, recipes_for
from napari_sem_classify.plugin.app.jobs import JobSlot
from napari_sem_classify.plugin.app.session import Session
from napari_sem_classify.plugin.forms.device_form import DeviceForm
from napari_sem_classify.plugin.forms.layout import Form, Note, button, explain, narrow
from napari_sem_classify.plugin.forms.mosaic_row import MosaicRow
from napari_sem_classify.plugin.forms.network_row import NetworkRow
from napari_sem_classify.plugin.teach.around_form import AroundForm
from napari_sem_classify.plugin.teach.teacher import Teacher

FIND = "Find best"
FIND_TOOLTIP = (
    "Look at the annotated tiles in every way and take the one that scores clearly better; "
    "takes up to some minutes"
)
BY_HAND = "Chosen by hand."


class WayForm:
    """Rows for the processor and the way of looking; a note tells how a search for it goes."""

    def __init__(self, teacher: Teacher, session: Session, form: Form, owner: QWidget) -> None:
        self._teacher = teacher
        self._finding = JobSlot(owner)
        self.device_form = DeviceForm(form, session, owner)
        self.combo = narrow(widgets.ComboBox(choices=_choices((STANDARD,))), least=5)
        explain(
            self.combo,
            "Way of looking at tiles",
            "With their own brightness, or each brought to the same brightness and contrast; "
            "and the size to which a tile is brought before the network sees it",
        )
        self.button = button(FIND, FIND_TOOLTIP, "Find the best way of looking")
        self.note = Note("Best way of looking")
        form.row("Seen", self.combo, self.button)
        self.mosaic = MosaicRow(form)
        self.network = NetworkRow(form)
        form.wide(self.note)
        self.around = AroundForm(teacher.learner, form)
        self.combo.changed.connect(self._on_combo)
        self.button.changed.connect(self._on_button)
        self.mosaic.changed.connect(self._on_mosaic)
        self.network.changed.connect(self._on_network)
        self.device_form.changed.connect(self._on_device)

    @property
    def finding(self) -> bool:
        """Whether the best way is being looked for."""
        return self._finding.running

    def refresh(self) -> None:
        """Bring the rows up to date."""
        learner, recipe = self._teacher.learner, self._teacher.learner.recipe
        if learner.annotated:
            self.device_form.find()
        self.network.show(True, recipe.backbone_id)
        offered = recipes_for(learner.tile_px, backbone_id=recipe.backbone_id)
        if recipe not in offered:
            offered = (*offered, recipe)
        with self.combo.changed.blocked():
            if list(self.combo.choices) != list(offered):
                self.combo.choices = _choices(offered)
            self.combo.value = recipe
        own = learner.start is None  # a model that is taught further looks in its own way
        self.combo.enabled = own
        self.button.enabled = own and (self.finding or learner.teachable)
        self.mosaic.show(recipe.intensity, own)
        self.network.set_enabled(own)
        self.around.refresh(own)

    def find(self) -> None:
        """Look for the best way in the background; what is taught goes on meanwhile."""
        teacher = self._teacher
        if self.finding or not teacher.learner.teachable:
            return

        def done(choice: RecipeChoice) -> None:
            self._idle(choice.reason)
            teacher.learner.use_recipe(choice)

        def failed(sentence: str) -> None:
            self._idle("")
            self.note.fail(sentence)

        learner, images = teacher.learner, dict(teacher.memory.images)
        material = TeachingSet(teacher.book.annotations, images)
        ways = recipes_for(learner.tile_px, backbone_id=teacher.memory.recipe.backbone_id)
        options = replace(learner.options, recipes=ways)
        self._finding.start(
            lambda context: choose_recipe(material, options, job=context),
            doing="finding the best way of looking at tiles",
            on_done=done,
            on_failed=failed,
            on_cancelled=lambda: self._idle("Stopped: nothing was changed."),
            on_progress=self._tell,
        )
        self.button.text = "Cancel"
        self.note.say("Getting the network ready…")
        self.refresh()

    def _tell(self, progress: Progress) -> None:
        if progress.total:
            self.note.say(f"Trying ways of looking: {100 * progress.fraction:.0f} %")

    def _idle(self, said: str) -> None:
        self.button.text = FIND
        self.note.say(said)
        self.refresh()

    def _on_button(self) -> None:
        if self.finding:
            self.note.say("cancelling…")
            self._finding.cancel()
        else:
            self.find()

    def _on_combo(self) -> None:
        recipe = self.combo.value
        if isinstance(recipe, Recipe):
            self._use(recipe)

    def _on_mosaic(self) -> None:
        recipe = self._teacher.memory.recipe
        if self.mosaic.over != recipe.intensity:
            self._use(replace(recipe, intensity=self.mosaic.over))

    def _on_network(self) -> None:
        self._use(replace(self._teacher.memory.recipe, backbone_id=self.network.chosen))

    def _use(self, recipe: Recipe) -> None:
        if recipe != self._teacher.memory.recipe:
            self.note.say("")
            self._teacher.learner.use_recipe(RecipeChoice(recipe, (), BY_HAND))

    def _on_device(self) -> None:
        learner = self._teacher.learner
        if self.device_form.chosen != learner.wish:
            learner.use_device(self.device_form.chosen)


def _choices(recipes: tuple[Recipe, ...]) -> list[tuple[str, Recipe]]:
    return [(recipe.title.removeprefix("tiles "), recipe) for recipe in recipes]
