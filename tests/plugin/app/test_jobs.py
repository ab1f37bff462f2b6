"""Long work: watched from the main thread, stopped when asked, never shown as a traceback."""

from __future__ import annotations

import threading

import pytest
from qtpy.QtWidgets import QWidget

from napari_sem_classify.core.common.errors import ImageError
from napari_sem_classify.core.common.job import Progress
from napari_sem_classify.core.common.log import log_file
from napari_sem_classify.plugin.app.dock import DockWidget
from napari_sem_classify.plugin.app.jobs import JobSlot, Listeners, SettleTimer, Worker

WAIT_S = 60


@pytest.fixture
def owner(qtbot):
    widget = QWidget()
    qtbot.addWidget(widget)
    return widget


class Heard:
    def __init__(self):
        self.done, self.failed, self.progress, self.published = [], [], [], []
        self.cancelled = 0

    def start(self, task, owner):
        def on_cancelled():
            self.cancelled += 1

        told = Listeners(
            self.done.append,
            self.failed.append,
            on_cancelled=on_cancelled,
            on_progress=self.progress.append,
            on_published=self.published.append,
        )
        return Worker(task, "testing", owner, told)

    def over(self):
        return bool(self.done or self.failed or self.cancelled)


@pytest.fixture
def heard():
    return Heard()


def test_the_result_arrives_on_the_main_thread(qtbot, owner, heard):
    threads = []

    def task(context):
        threads.append(threading.current_thread())
        context.tell(Progress(1, 2, "Working"))
        context.publish("half")
        return "whole"

    heard.start(task, owner)
    qtbot.waitUntil(heard.over)
    assert heard.done == ["whole"]
    assert heard.published == ["half"]
    assert [reading.stage for reading in heard.progress] == ["Working"]
    assert threads[0] is not threading.main_thread()


def test_cancelling_is_answered_and_gives_no_result(qtbot, owner, heard):
    begun = threading.Event()

    def task(context):
        begun.set()
        while True:
            context.check()

    job = heard.start(task, owner)
    assert begun.wait(WAIT_S)
    job.cancel()
    assert job.cancelling
    qtbot.waitUntil(heard.over)
    assert heard.cancelled == 1
    assert not heard.done
    assert not heard.failed


def test_a_known_problem_is_told_in_its_own_sentence(qtbot, owner, heard):
    def task(_context):
        raise ImageError("x.tif is damaged: copy it again.")

    heard.start(task, owner)
    qtbot.waitUntil(heard.over)
    assert heard.failed == ["x.tif is damaged: copy it again."]


def test_an_unknown_problem_is_one_sentence_with_the_details_in_the_log(
    qtbot, owner, heard, tmp_path, monkeypatch
):
    monkeypatch.setattr("platformdirs.user_log_path", lambda *_a, **_k: tmp_path / "log")

    def task(_context):
        return {}["nothing"]

    heard.start(task, owner)
    qtbot.waitUntil(heard.over)
    (sentence,) = heard.failed
    assert "Traceback" not in sentence
    assert str(log_file()) in sentence
    assert "KeyError" in log_file().read_text(encoding="utf-8")


def test_deleting_the_widget_stops_the_work(qtbot, heard):
    widget = QWidget()
    stopped = threading.Event()

    def task(context):
        while not context.cancelled:
            pass
        stopped.set()

    heard.start(task, widget)
    widget.deleteLater()
    qtbot.waitUntil(stopped.is_set)
    assert not heard.over()


def test_an_abandoned_job_is_heard_no_more(qtbot, owner, heard):
    go = threading.Event()
    ended = threading.Event()

    def task(_context):
        go.wait(WAIT_S)
        ended.set()
        return "late"

    heard.start(task, owner).abandon()
    go.set()
    assert ended.wait(WAIT_S)
    qtbot.wait(300)
    assert not heard.over()


def test_a_task_can_wait_until_what_it_published_is_shown(qtbot, owner, heard):
    def task(context):
        context.publish_and_wait("first")
        return list(heard.published)

    heard.start(task, owner)
    qtbot.waitUntil(heard.over)
    assert heard.done == [["first"]]


def test_a_task_that_is_abandoned_waits_for_nobody(qtbot, owner, heard):
    ended = threading.Event()

    def task(context):
        context.publish_and_wait("first")
        ended.set()

    heard.start(task, owner).abandon()
    assert ended.wait(WAIT_S)
    assert not heard.published


def until_cancelled(context):
    while True:
        context.check()


def start_in(slot, heard, task):
    slot.start(task, doing="testing", on_done=heard.done.append, on_failed=heard.failed.append)


def test_a_slot_runs_one_task_at_a_time_and_is_free_when_it_ends(qtbot, owner, heard):
    slot, free = JobSlot(owner), []
    assert not slot.running
    start_in(slot, heard, until_cancelled)
    assert slot.running
    slot.start(
        lambda _context: "second",
        doing="testing",
        on_end=lambda: free.append(not slot.running),
        on_done=heard.done.append,
        on_failed=heard.failed.append,
    )
    qtbot.waitUntil(heard.over)
    assert heard.done == ["second"]
    assert free == [True]
    assert not slot.running
    slot.cancel()
    slot.abandon()


def test_a_cancelled_task_tells_no_more_of_its_progress(qtbot, owner, heard):
    begun, ended = threading.Event(), []

    def task(context):
        begun.set()
        while not context.cancelled:
            pass
        context.tell(Progress(1, 2, "Too late"))
        context.check()

    slot = JobSlot(owner)
    slot.start(
        task,
        doing="testing",
        on_end=lambda: ended.append(True),
        on_done=heard.done.append,
        on_failed=heard.failed.append,
        on_progress=heard.progress.append,
    )
    assert begun.wait(WAIT_S)
    slot.cancel()
    assert slot.cancelling
    qtbot.waitUntil(lambda: bool(ended))
    assert not heard.progress
    assert not heard.over()


def test_a_dock_that_is_taken_out_abandons_its_slots_and_stops_its_timers(qtbot, heard):
    from napari.components import ViewerModel

    holder = QWidget()
    qtbot.addWidget(holder)
    dock = DockWidget(ViewerModel())
    dock.setParent(holder)
    slots = [JobSlot(dock), JobSlot(QWidget(dock))]
    for slot in slots:
        start_in(slot, heard, until_cancelled)
    called = []
    timer = SettleTimer(dock, 1000, lambda: called.append(True))
    timer.start()
    dock.setParent(None)
    qtbot.addWidget(dock)
    assert not any(slot.running for slot in slots)
    assert not timer.isActive()
    assert not heard.over()
