"""An evaluation as files: JSON, CSV tables, and a one-page report with its pictures inside."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sem_classify.core.common.csv_text import csv_text
from napari_sem_classify.core.common.errors import SemClassifyError
from napari_sem_classify.core.common.files import write_json, write_text
from napari_sem_classify.core.common.html_page import as_base64, render
from napari_sem_classify.core.common.output_folder import OutputFolder, output_folder
from napari_sem_classify.core.evaluate.evaluate import Evaluation
from napari_sem_classify.core.evaluate.set_reading import grey_picture, open_cropped
from napari_sem_classify.core.model.card import ModelCard

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_NUMBERED = 30
WORST = 12
WORST_PX = 160


def write_evaluation(found: Evaluation, card: ModelCard, out: Path | OutputFolder) -> list[Path]:
    """Write ``evaluation`` as .json, .classes.csv, .confusion.csv, .cases.csv and .html.

    The folder is made when it is not there. Where one of the names is the user's, all get another
    start. Gives the files written.

    Raises
    ------
    OutputError
        When a file cannot be written.
    """
    endings = ("json", "classes.csv", "confusion.csv", "cases.csv", "html")
    names = [f"evaluation.{ending}" for ending in endings]
    value = {"model": card.name, **found.to_dict(), "left_out": dict(found.left_out)}
    shares = 100 * found.scores.row_normalised()
    confused = [
        {"true class": name, **dict(zip(found.class_names, row, strict=True))}
        for name, row in zip(found.class_names, shares.tolist(), strict=True)
    ]
    with output_folder(out) as folder, folder.staging() as staging:
        as_json, classes, confusion, cases, html = (staging / name for name in names)
        write_json(as_json, value)
        write_rows(classes, [_flat(row) for row in found.class_rows()])
        write_rows(confusion, confused)
        write_rows(cases, _case_rows(found))
        write_text(html, evaluation_html(found, card))
        places = folder.put(staging, "evaluation")
    return [places[name] for name in names]


def evaluation_html(found: Evaluation, card: ModelCard) -> str:
    """The report as one page that needs no other file."""
    value = found.to_dict()
    overall = [
        [name.capitalize(), f"{value[f'macro_{name}']:.3f}", f"{value[f'weighted_{name}']:.3f}"]
        for name in ("precision", "recall", "f1")
    ]
    classes = [
        [
            row["class"],
            str(row[found.what]),
            _with_interval(row["precision"], row["precision_interval_95"]),
            _with_interval(row["recall"], row["recall_interval_95"]),
            _number(row["f1"]),
        ]
        for row in found.class_rows()
    ]
    coverage = [
        [f"{100 * share:.0f} %", f"{accuracy:.3f}", f"{lowest:.2f}"]
        for share, accuracy, lowest in found.coverage()
    ]
    return render(
        "evaluate/evaluate_report.html",
        title=f"Evaluation of {card.name}",
        cases=len(found.truth),
        what=found.what,
        value=value,
        interval=found.scores.accuracy_interval(),
        overall=overall,
        classes=classes,
        coverage=coverage,
        confusion=as_base64(draw_confusion(found)),
        calibration=as_base64(draw_calibration(found)),
        temperature=card.temperature,
        worst=_worst(found),
        worst_px=WORST_PX,
        notes=found.notes,
        left_out=[f"{path}: {why}" for path, why in found.left_out.items()],
    )


def draw_confusion(found: Evaluation) -> Figure:
    """The confusion matrix in percent of each true class, as Modarres et al. (2017) show it."""
    figure, axes = _figure(_side(found), _side(found))
    shares = 100 * found.scores.row_normalised()
    names = list(found.class_names)
    axes.imshow(np.nan_to_num(shares), cmap="Blues", vmin=0, vmax=100)
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", parse_math=False)
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    if len(names) <= MOST_NUMBERED:
        for row, col in np.ndindex(shares.shape):
            if shares[row, col] >= 0.05:
                colour = "white" if shares[row, col] > 55 else "black"
                text = f"{shares[row, col]:.0f}"
                axes.text(col, row, text, ha="center", va="center", color=colour, fontsize=8)
    return figure


def draw_calibration(found: Evaluation) -> Figure:
    """Share of right ones against confidence, before and after the temperature."""
    figure, axes = _figure(4.2, 3.8)
    axes.plot([0, 1], [0, 1], color="#888", linewidth=1, linestyle="--")
    for before, label, colour in ((True, "before", "#d55e00"), (False, "after", "#0072b2")):
        bins = found.calibration(before=before)
        known = bins.count > 0
        x, y = bins.confidence[known], bins.accuracy[known]
        axes.plot(x, y, marker="o", color=colour, label=label)
    axes.set_xlabel("confidence")
    axes.set_ylabel("share of right ones")
    axes.legend(title="temperature", frameon=False)
    return figure


def _worst(found: Evaluation) -> Iterator[tuple[str, float, str]]:
    """Caption, confidence and thumbnail of the cases that the model is most wrong about."""
    wrong = np.flatnonzero(found.predicted != found.truth)
    if not found.paths or not len(wrong):
        return
    own = found.probabilities[wrong, found.truth[wrong]]
    for case in wrong[np.argsort(own, kind="stable")][:WORST]:
        picture = _thumbnail(Path(found.paths[case]))
        if picture is None:
            continue
        truth, said = (found.class_names[k] for k in (found.truth[case], found.predicted[case]))
        caption = f"{Path(found.paths[case]).name}: {truth}, called {said}"
        yield caption, float(found.probabilities[case].max()), picture


def _thumbnail(path: Path) -> str | None:
    from PIL import Image

    try:
        grey = grey_picture(open_cropped(path, None))
    except SemClassifyError:
        return None  # the file is gone since it was scored
    picture = Image.fromarray(grey)
    picture.thumbnail((WORST_PX, WORST_PX))
    buffer = io.BytesIO()
    picture.save(buffer, format="png")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _figure(width: float, height: float) -> tuple[Figure, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _side(found: Evaluation) -> float:
    return float(np.clip(2.2 + 0.42 * len(found.class_names), 3.5, 20.0))


def _number(value: float) -> str:
    return "–" if value != value else f"{value:.3f}"


def _with_interval(value: float, interval: list[float]) -> str:
    if value != value or interval[0] != interval[0]:
        return _number(value)
    return f"{value:.3f} ({interval[0]:.2f} to {interval[1]:.2f})"


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, list):
            flat[f"{key}_low"], flat[f"{key}_high"] = value
        else:
            flat[key] = value
    return flat


def _case_rows(found: Evaluation) -> list[dict[str, Any]]:
    paths = found.paths or ("",) * len(found.truth)
    return [
        {
            "path": paths[case],
            "true class": found.class_names[found.truth[case]],
            "class": found.class_names[found.predicted[case]],
            "confidence": round(float(found.probabilities[case].max()), 6),
        }
        for case in range(len(found.truth))
    ]


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of the same columns as CSV, all of it or nothing; NaN and None become empty."""
    write_text(path, csv_text(list(rows[0]), (row.values() for row in rows)))
