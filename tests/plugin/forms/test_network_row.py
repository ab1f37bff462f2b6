"""The network is chosen among those whose weights are here."""

from __future__ import annotations

import pytest
from qtpy.QtWidgets import QWidget
from tiny_backbone import TINY, known_backbone

from napari_sem_classify.core.network.backbone import DEFAULT_BACKBONE
from napari_sem_classify.plugin.finetune.schedule_form import ScheduleForm
from napari_sem_classify.plugin.forms.layout import Form
from napari_sem_classify.plugin.forms.network_row import NetworkRow


@pytest.fixture
def form(qtbot):
    made = Form()
    qtbot.addWidget(made)
    return made


def test_there_is_no_row_where_there_is_nothing_to_choose(form):
    row = NetworkRow(form)
    assert row.chosen == DEFAULT_BACKBONE
    assert row.combo.native.parentWidget().isHidden()


def test_a_network_whose_weights_came_is_offered_by_its_title(form, tmp_path):
    row = NetworkRow(form)
    with known_backbone(tmp_path) as info:
        row.show(True)
        assert not row.combo.native.parentWidget().isHidden()
        assert [row.combo.native.itemText(at) for at in range(2)][1] == info.title
        heard = []
        row.changed.connect(lambda: heard.append(row.chosen))
        row.combo.value = TINY
        assert heard == [TINY]
        row.show(False)
        assert row.combo.native.parentWidget().isHidden()
    row.show(True)
    assert row.chosen == TINY  # a choice stays, and a run says what is missing


def test_fine_tune_starts_from_the_chosen_network(form, qtbot, tmp_path):
    owner = QWidget()
    qtbot.addWidget(owner)
    with known_backbone(tmp_path):
        schedule = ScheduleForm(form, owner)
        assert schedule.chosen_options().backbone_id == DEFAULT_BACKBONE
        schedule.network.combo.value = TINY
        assert schedule.chosen_options().backbone_id == TINY
