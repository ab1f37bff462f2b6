"""Names from outside are shown as they are: no label or tooltip takes them for mark-up."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from qtpy.QtCore import Qt

import napari_sem_classify.plugin
from napari_sem_classify.plugin.app.text import as_it_is
from napari_sem_classify.plugin.forms.dock_table import DockTable
from napari_sem_classify.plugin.forms.layout import Form, Note, explain

PLUGIN = Path(napari_sem_classify.plugin.__file__).parent
MARKED = ["<img src=file:///etc/hostname>", "<b>oxide</b>", "<!-- x", "<?xml ?><a/>"]


@pytest.mark.parametrize("name", MARKED)
def test_a_name_with_mark_up_is_plain_in_tooltips_and_notes(qtbot, name):
    assert Qt.mightBeRichText(name) or name.startswith("<!")
    note = Note("a note")
    form = Form()
    form.row(name, note)
    qtbot.addWidget(form)
    note.say(name)
    assert "&lt;" in note.text()
    table = DockTable(note, "a table", "of names", ["name"])
    qtbot.addWidget(table)
    table.setRowCount(1)
    assert not Qt.mightBeRichText(table.put(0, 0, name, name).toolTip())
    explain(note, "a note", name)
    assert not Qt.mightBeRichText(note.toolTip())


def test_marks_of_direction_and_control_characters_are_seen():
    assert as_it_is("\u202egnp.exe\x1b\n5 < 6") == "\\u202egnp.exe\\x1b\n5 < 6"


def test_every_tooltip_that_is_made_from_names_is_shown_as_it_is():
    for path in PLUGIN.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "setToolTip"):
                continue
            text = ast.unparse(node.args[0])
            ours = not any(isinstance(part, ast.Name) for part in ast.walk(node.args[0]))
            assert ours or text.startswith("as_it_is("), (path.name, text)
