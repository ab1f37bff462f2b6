"""A model that is saved or opened anywhere is where it is looked for next."""

from __future__ import annotations

import pytest
from qtpy.QtWidgets import QFileDialog, QWidget
from tiny_engine import brightness_classifier

from napari_sem_classify.core.common.errors import ModelError
from napari_sem_classify.core.model import file
from napari_sem_classify.core.model.catalogue import user_models_folder
from napari_sem_classify.core.model.recent import recent_models
from napari_sem_classify.plugin.app.session import Session
from napari_sem_classify.plugin.forms.layout import Form
from napari_sem_classify.plugin.forms.model_file import ask_model_path, tell_saved
from napari_sem_classify.plugin.forms.model_form import ModelForm


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Two files in a folder of the user's own, whose cards stand for whole models."""
    cards = {}

    def make(name):
        path = tmp_path / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        cards[path] = brightness_classifier(name=path.stem).card
        return path

    def read_card(path):
        if not path.exists():
            raise ModelError("gone")
        return cards[path]

    for place in ("plugin.forms.model_form", "core.model.recent"):
        monkeypatch.setattr(f"napari_sem_classify.{place}.read_card", read_card)
    return make


@pytest.fixture
def form(qtbot):
    owner = QWidget()
    qtbot.addWidget(owner)
    session = Session()
    return ModelForm(Form(owner), owner, session=session), session, owner


def test_a_model_that_was_just_saved_is_chosen_and_stays_in_the_list(form, elsewhere):
    models, session, owner = form
    path = elsewhere("mine")
    assert tell_saved(session, path) == "Saved as mine.safetensors: it is chosen in Classify."
    assert models.entry.path == path
    assert [entry.name for entry in recent_models()] == ["mine"]

    later = ModelForm(Form(owner), owner, session=session)
    assert later.entry.path == path  # opened after the model was saved


def test_models_opened_elsewhere_come_back_the_newest_first_while_they_are_there(form, elsewhere):
    models, _session, owner = form
    first, second = elsewhere("first"), elsewhere("second")
    models.open_file(first)
    models.open_file(second)
    assert [entry.path for entry in recent_models()] == [second, first]
    first.unlink()
    again = ModelForm(Form(owner), owner)
    offered = [getattr(each, "name", each) for each in again.combo.choices]
    assert "second" in offered
    assert "first" not in offered


def test_models_of_one_title_are_told_apart_by_their_folders(form, elsewhere):
    models, _session, _owner = form
    paths = [elsewhere(f"{folder}/mine") for folder in ("old", "new", "again/new")]
    for path in paths:
        models.open_file(path)
    offered = dict(models._choices())
    mine = {title: each.path for title, each in offered.items() if title.startswith("mine")}
    assert mine == {
        "mine · old": paths[0],
        f"mine · {paths[1]}": paths[1],
        f"mine · {paths[2]}": paths[2],
    }
    for path in paths:
        models.choose(path)
        assert models.entry.path == path


def test_the_folder_of_models_is_there_before_the_user_is_asked(form, monkeypatch):
    folder = user_models_folder()
    assert not folder.exists()
    seen = []

    def execute(dialog):
        seen.append(dialog.directory().absolutePath())
        return 0

    monkeypatch.setattr(QFileDialog, "exec", execute)
    assert ask_model_path(form[2], folder / f"coating{file.SUFFIX}") is None
    assert seen == [str(folder)]
