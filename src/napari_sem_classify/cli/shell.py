"""What all commands share: sentences instead of tracebacks, progress, Ctrl+C, and output."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from napari_sem_classify.core.common.errors import Cancelled, SemClassifyError
from napari_sem_classify.core.common.job import Job, Progress
from napari_sem_classify.core.common.plain_text import printable

FAILED = 1
STOPPED = 130
STOPPED_TEXT = "Stopped; nothing was changed."


class SentenceGroup(TyperGroup):
    """A group of commands whose failures end in one sentence on stderr and an exit status."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; turn what went wrong into a sentence and a status."""
        try:
            return super().invoke(ctx)
        except SemClassifyError as error:
            complain(str(error))
            status = FAILED
        except (Cancelled, KeyboardInterrupt) as stop:
            complain(str(stop) or STOPPED_TEXT)
            status = STOPPED
        except MemoryError:
            complain(
                "There is not enough memory for this: close other programs or use smaller tiles."
            )
            status = FAILED
        except BrokenPipeError:
            raise  # the reader of our output (head, less) has had enough: typer ends quietly
        except Exception as error:
            # A fault of this program; typer's own exceptions say how to end and pass.
            if type(error).__module__.split(".")[0] in {"typer", "click"}:
                raise
            from napari_sem_classify.core.common.log import log_unexpected

            complain(log_unexpected(error, f"running {ctx.invoked_subcommand}"))
            status = FAILED
        raise typer.Exit(status)


def complain(sentence: str) -> None:
    """Print a sentence on stderr; what cannot be printed becomes an escape."""
    typer.echo(printable(sentence), err=True)


def say(text: str) -> None:
    """Print text of one or more lines on stdout; what cannot be printed becomes an escape."""
    typer.echo(printable(text, lines=True))


def report(value: dict[str, Any] | list[Any], text: str, as_json: bool) -> None:
    """Print a result on stdout: as JSON, or as text for a person."""
    from napari_sem_classify.core.common.files import to_json

    say(to_json(value) if as_json else text)


def fail_if_any(failures: list[dict[str, str]]) -> None:
    """Name the images that failed on stderr, a sentence each, and end with status 1."""
    for failure in failures:
        complain(failure["problem"])
    if failures:
        raise typer.Exit(FAILED)


def table(rows: Sequence[tuple[str, ...]], indent: str = "") -> str:
    """Columns of text, aligned; two spaces between them, and each row on one line."""
    rows = [tuple(printable(cell) for cell in row) for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        indent
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def length_text(px: float, pixel_size_nm: float | None) -> str:
    """A length in px, and in µm where the image is calibrated."""
    if pixel_size_nm is None:
        return f"{px:g} px (not calibrated)"
    return f"{px:g} px = {px * pixel_size_nm / 1000:.3g} µm"


@contextmanager
def working(stopped: str = STOPPED_TEXT) -> Iterator[Job]:
    """Give a job that draws a bar on stderr, and that Ctrl+C stops; a second Ctrl+C stops at once.

    `stopped` is the sentence that the user reads then, where the job has none of its own.
    """
    with _progress_bar() as show:
        job = Job(show)
        if threading.current_thread() is not threading.main_thread():
            yield job
            return

        def stop(_number: int, _frame: Any) -> None:
            if job.cancelled:
                raise KeyboardInterrupt
            job.cancel()
            complain("Stopping after this step (Ctrl+C again to stop at once) ...")

        before = signal.signal(signal.SIGINT, stop)
        try:
            yield job
        except (Cancelled, KeyboardInterrupt) as wish:
            raise Cancelled(str(wish) or stopped) from wish
        finally:
            signal.signal(signal.SIGINT, before)


@contextmanager
def _progress_bar() -> Iterator[Callable[[Progress], None] | None]:
    """Give a callback that draws a bar on stderr; None where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich import progress as rich
    from rich.console import Console

    columns = ("{task.description}", rich.BarColumn(), rich.MofNCompleteColumn())
    tasks: dict[str, rich.TaskID] = {}
    with rich.Progress(
        *columns, rich.TimeRemainingColumn(), console=Console(stderr=True), transient=True
    ) as bars:

        def show(progress: Progress) -> None:
            if progress.stage not in tasks:
                tasks[progress.stage] = bars.add_task(progress.stage, total=progress.total)
            bars.update(tasks[progress.stage], completed=progress.done, total=progress.total)

        yield show
