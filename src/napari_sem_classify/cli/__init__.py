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

from napari_sem_classify.cli import (
    compare,
    datasets,
    export,
    inspect_commands,
    jobs,
    measure,
    models,
    repeat,
    review,
    teach,
    train,
)
from napari_sem_classify.cli.shell import SentenceGroup

app = typer.Typer(
    cls=SentenceGroup,
    name="napari-sem-classify",
    help="Lay tiles over large SEM images, classify every tile, and measure the class map.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
inspect_commands.add_to(app)
jobs.add_to(app)
review.add_to(app)
export.add_to(app)
repeat.add_to(app)
teach.add_to(app)
train.add_to(app)
compare.add_to(app)
datasets.add_to(app)
models.add_to(app)
measure.add_to(app)


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
    app()
