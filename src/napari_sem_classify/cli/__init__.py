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
    classify_command,
    compare_command,
    datasets_command,
    export_command,
    inspect_commands,
    measure_command,
    models_command,
    repeat_command,
    review_command,
    teach_command,
    train_command,
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
classify_command.add_to(app)
review_command.add_to(app)
export_command.add_to(app)
repeat_command.add_to(app)
teach_command.add_to(app)
train_command.add_to(app)
compare_command.add_to(app)
datasets_command.add_to(app)
models_command.add_to(app)
measure_command.add_to(app)


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
