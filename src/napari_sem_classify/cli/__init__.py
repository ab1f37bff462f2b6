"""Every job without a viewer: ``napari-sem-classify COMMAND``.

Reports go to stdout (as JSON with ``--json``), progress and problems to stderr. Exit status: 0
done, 1 failed with one sentence, 2 wrong usage, 130 stopped with Ctrl+C. Nothing heavy is
imported before a command runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import logging
import sys
import warnings
from typing import Annotated

import typer

from napari_sem_classify.cli import datasets_command, models_command, review_command
from napari_sem_classify.cli.classify_command import classify, demo
from napari_sem_classify.cli.compare_command import compare
from napari_sem_classify.cli.export_command import export
from napari_sem_classify.cli.inspect_commands import info, tile
from napari_sem_classify.cli.measure_command import benchmark
from napari_sem_classify.cli.repeat_command import rerun
from napari_sem_classify.cli.shell import STOPPED, STOPPED_TEXT, SentenceGroup, complain
from napari_sem_classify.cli.similar_command import similar
from napari_sem_classify.cli.teach_command import teach
from napari_sem_classify.cli.train_command import evaluate, train

app = typer.Typer(
    cls=SentenceGroup,
    name="napari-sem-classify",
    help="Lay tiles over large SEM images, classify every tile, and measure the class map.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
jobs = (info, tile, demo, classify, export, rerun, teach, similar, train, evaluate, compare)
for job in (*jobs, benchmark):
    app.command()(job)
app.add_typer(review_command.group, name="review")
app.add_typer(datasets_command.group, name="datasets")
app.add_typer(models_command.group, name="models")


def _show_version(wanted: bool) -> None:
    if wanted:
        import napari_sem_classify

        typer.echo(f"napari-sem-classify {napari_sem_classify.__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; the console script's entry point."""
    # Libraries chat on stderr about odd but readable files; there the user reads one sentence.
    logging.getLogger().addHandler(logging.NullHandler())
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    try:
        app()
    except KeyboardInterrupt:  # before the command itself, which says what it leaves
        complain(STOPPED_TEXT)
        sys.exit(STOPPED)
