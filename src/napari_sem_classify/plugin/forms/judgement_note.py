"""Whether a model holds on the image in view, in a sentence."""

from __future__ import annotations

from napari_sem_classify.core.model.transfer import Judgement
from napari_sem_classify.core.teach.rise import Rise
from napari_sem_classify.plugin.app.text import as_it_is
from napari_sem_classify.plugin.forms.layout import Note

WHAT_IT_IS = (
    "How often heads on single stages of the network agree, calibrated on specimens that were left "
    "out when the model was taught; 9 of 10 such images lay within the interval."
)
WHAT_RISES = (
    "After some tiles of the image it is an estimate for all its other tiles; the interval is as "
    "wide as before them."
)


class JudgementNote(Note):
    """Says how far a model can be trusted on an image; takes no room where nothing is known."""

    def __init__(self) -> None:
        super().__init__("Whether the model holds on this image")

    def tell(self, judgement: Judgement | None, mend: str = "") -> None:
        """Show a judgement; what is unlike asks for attention, and `mend` tells what to do."""
        self.setToolTip("")
        if judgement is None:
            self.say("")
            return
        self.setToolTip(as_it_is(WHAT_IT_IS))
        if judgement.verdict in ("unlike", "very unlike"):
            self.warn(f"{judgement.sentence} {mend}".rstrip())
        else:
            self.say(judgement.sentence, "●" if judgement.verdict == "like" else "")

    def tell_rise(self, rise: Rise) -> None:
        """Show what tiles of the image changed; what is unlike still asks for attention."""
        self.setToolTip(as_it_is(f"{WHAT_IT_IS} {WHAT_RISES}"))
        if rise.now is not None and rise.now.verdict == "like":
            self.say(rise.sentence, "●")
        else:
            self.warn(rise.sentence)
