"""A row to choose the network to stand on, among those whose weights are here."""

from __future__ import annotations

from magicgui import widgets
from psygnal import Signal

from napari_sem_classify.core.model.catalogue import networks
from napari_sem_classify.core.network.backbone import DEFAULT_BACKBONE
from napari_sem_classify.plugin.forms.layout import Form, explain, narrow


class NetworkRow:
    """Choice of the network; there is no row where there is nothing to choose."""

    changed = Signal()

    def __init__(self, form: Form) -> None:
        self.combo = narrow(widgets.ComboBox(choices=_offered()))
        explain(
            self.combo,
            "Network",
            "The network that looks at tiles; `napari-sem-classify models fetch` gets further ones",
        )
        self._row = form.row("Network", self.combo)
        self.combo.changed.connect(lambda *_: self.changed.emit())
        self.show(True)

    @property
    def chosen(self) -> str:
        """Its id."""
        return str(self.combo.value)

    def show(self, shown: bool, chosen: str | None = None) -> None:
        """Bring the row up to date: which networks there are now, and which is chosen."""
        offered = _offered()
        chosen = chosen or self.chosen
        if chosen not in [id for _, id in offered]:
            # Of a file made where it is: to run it says what lacks.
            offered.append((chosen, chosen))
        with self.combo.changed.blocked():
            self.combo.choices = offered
            self.combo.value = chosen
        self._row.setVisible(shown and len(offered) > 1)

    def set_enabled(self, enabled: bool) -> None:
        """Let another one be chosen, or not."""
        self.combo.enabled = enabled


def _offered() -> list[tuple[str, str]]:
    found = [(each.info.title, each.info.id) for each in networks() if each.path is not None]
    return found or [(DEFAULT_BACKBONE, DEFAULT_BACKBONE)]
