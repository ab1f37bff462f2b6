"""``teach``: a model from annotated images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from napari_sem_classify.cli.shared_options import (
    Backend,
    Device,
    FramePx,
    Json,
    Network,
    TilePx,
    recipe_of,
)
from napari_sem_classify.cli.shell import report, table, working
from napari_sem_classify.core.network.backbone import DEFAULT_BACKBONE, backbone_path

if TYPE_CHECKING:
    from napari_sem_classify.core.model.card import ModelCard
    from napari_sem_classify.core.teach.further import TaughtFurther


SPECIMENS_TOLD = 10


def teach(
    images: Annotated[
        list[Path], typer.Option("--image", metavar="I", help="An annotated image; repeatable.")
    ],
    labels: Annotated[
        list[Path],
        typer.Option("--labels", metavar="L", help="Its labels, a PNG or TIFF; one per --image."),
    ],
    classes: Annotated[
        str,
        typer.Option(
            "--classes",
            help='Label values and names: "0=matrix,1=oxide,2=crack>=2%"; of labels in colour '
            'the colours: "#ff0000=oxide,#0000ff=matrix".',
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="M", help="Model file to write.")],
    tile: TilePx = None,
    further: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="MODEL",
            help="Teach this model further, without the images that taught it: tiles and way of "
            "looking are its own, and the new model is a new file.",
        ),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option("--stride", metavar="PX", help="Distance between neighbouring tiles."),
    ] = None,
    groups: Annotated[
        list[str] | None,
        typer.Option(
            "--specimen",
            metavar="NAME",
            help="The specimen that each --image shows; guessed from folders and names by default.",
        ),
    ] = None,
    min_share: Annotated[
        float, typer.Option("--min-share", help="Share of a tile that its class has to cover.")
    ] = 0.6,
    name: Annotated[
        str | None, typer.Option("--name", help="The model's name; its file's name by default.")
    ] = None,
    recipe: Annotated[
        Literal["image", "frames", "local", "tile", "auto"],
        typer.Option(
            "--recipe",
            help="Even out grey values over the whole image, over each frame of a mosaic whose "
            "frames differ in exposure, locally, or each tile on its own; auto takes what the "
            "blocked score shows to be clearly better.",
        ),
    ] = "image",
    frame_px: FramePx = None,
    network_px: Annotated[
        str,
        typer.Option(
            "--network-px",
            metavar="PX",
            help="Size to which a tile is brought for the network, or auto.",
        ),
    ] = "128",
    context: Annotated[
        Literal["auto", "no", "yes"],
        typer.Option(
            "--context",
            help="Look at a tile's neighbours too; auto takes what pays on specimens, or else "
            "images, that were left out.",
        ),
    ] = "auto",
    alignment: Annotated[
        Literal["auto", "0", "0.5", "1"],
        typer.Option("--alignment", help="Share of an image's mean to take away, or auto."),
    ] = "auto",
    smoothing: Annotated[
        Literal["auto", "0", "0.2", "0.4", "0.7"],
        typer.Option("--smoothing", help="How far neighbours draw a tile to their class, or auto."),
    ] = "auto",
    copies: Annotated[
        Literal["auto", "no", "yes"],
        typer.Option(
            "--copies",
            help="Learn from tiles also as other settings of the microscope would show them; auto "
            "unless tiles that were left out clearly lose by it.",
        ),
    ] = "auto",
    dense: Annotated[
        bool, typer.Option("--dense", help="Teach for fine maps made with classify --dense.")
    ] = False,
    network: Network = DEFAULT_BACKBONE,
    device: Device = "auto",
    backend: Backend = "auto",
    as_json: Json = False,
) -> None:
    """Teach a model from annotated images; label values that are not listed are unlabelled.

    A class with ">=2%" takes every tile that contains at least so much of it: the rule for cracks
    and other thin things, which never fill a tile.
    """
    _check_pairs(len(images), len(labels), groups)
    if not 0 < min_share <= 1:
        raise typer.BadParameter("give a share above 0 up to 1", param_hint="--min-share")
    if dense and recipe in ("tile", "auto"):
        raise typer.BadParameter("dense maps need --recipe image", param_hint="--recipe")
    if dense and copies == "yes":
        raise typer.BadParameter("dense maps are taught without copies", param_hint="--copies")
    if (tile is None) == (further is None):
        problem = "give --tile, or --from with a model, which has tiles of its own; not both"
        raise typer.BadParameter(problem, param_hint="--tile")
    side = _network_px(network_px)
    look = None if recipe == "auto" and frame_px is None else recipe_of(recipe, frame_px)
    from napari_sem_classify.core.annotate import class_spec
    from napari_sem_classify.core.common.files import ensure_folder
    from napari_sem_classify.core.common.output_folder import check_target
    from napari_sem_classify.core.image.file_names import stem_of
    from napari_sem_classify.core.model.catalogue import load_model
    from napari_sem_classify.core.model.file import model_path, save_model
    from napari_sem_classify.core.model.surroundings import surroundings_for
    from napari_sem_classify.core.sem_io.label_file import labelled_images
    from napari_sem_classify.core.teach.further import teach_further
    from napari_sem_classify.core.teach.recipes import recipes_for
    from napari_sem_classify.core.teach.teach import teach_from_masks
    from napari_sem_classify.core.teach.teach_options import TeachOptions

    model = None if further is None else load_model(further)
    backbone_path(network)  # refused before any image is read
    named, contains = class_spec.parse_classes(classes), class_spec.parse_contains(classes)
    ensure_folder(out.parent)
    check_target(model_path(out))
    pairs, left_out = labelled_images(images, labels, class_spec.colours_in(classes))
    specimens = [groups[number] for number in pairs] if groups else None
    tile = tile or (model.card.tile_px if model is not None else 0)
    options = TeachOptions(
        tile,
        stride_px=stride,
        min_share=min_share,
        rules={own: contains[value] for value, own in named if value in contains},
        recipes=recipes_for(tile, intensity=look, network_px=side, backbone_id=network),
        surroundings=surroundings_for(
            None if context == "auto" else context == "yes",
            None if alignment == "auto" else float(alignment),
            None if smoothing == "auto" else float(smoothing),
        ),
        turned=copies != "no",
        weigh_turned=copies == "auto",
        dense=dense,
        device=device,
        backend=backend,
        name=name or stem_of(out),
    )
    with working() as job:
        shown = list(pairs.values())
        if model is None:
            done = None
            classifier = teach_from_masks(shown, named, options, specimens=specimens, job=job)
        else:
            done = teach_further(model, shown, named, options, specimens=specimens, job=job)
            classifier = done.classifier
    path = save_model(out, classifier)
    value = {"model": str(path), **_facts(classifier.card, left_out)}
    lines = [_text(classifier.card, value["tiles"], path)]
    if done is not None:
        value["further"] = {"from": further, **_further_facts(done)}
        lines.append(_further_text(done))
    lines += [f"Left out: {why}" for why in left_out.values()]
    report(value, "\n".join(lines), as_json)


def _check_pairs(images: int, labels: int, groups: list[str] | None) -> None:
    """Refuse what does not pair up with the images, as wrong usage."""
    if images != labels:
        problem = f"{images} images and {labels} labels do not pair up"
        raise typer.BadParameter(problem, param_hint="--labels")
    if groups and len(groups) != images:
        problem = f"{images} images and {len(groups)} specimens"
        raise typer.BadParameter(problem, param_hint="--specimen")


def _further_facts(done: TaughtFurther) -> dict[str, Any]:
    """What new tiles did to a model, as plain JSON values."""
    return {
        "tiles": dict(done.tiles),
        "right_before": done.before,
        "right_after": done.after,
    }


def _further_text(done: TaughtFurther) -> str:
    after = "too few to tell" if done.after is None else f"{done.after:.3f}"
    return (
        f"Of {sum(done.tiles.values())} new tiles right: before {done.before:.3f}, after "
        f"{after} (left out in turn)"
    )


def _facts(card: ModelCard, left_out: Mapping[str, str]) -> dict[str, Any]:
    """What was taught, as plain JSON values."""
    return {
        "name": card.name,
        "tiles": tiles_per_class(card),
        "left_out": left_out,
        "scores": dict(card.scores),
        "recipe": {**card.intensity.to_dict(), "network_px": card.network_px},
        "recipe_choice": card.record.get("recipe"),
        "surroundings": asdict(card.surroundings),
        "surroundings_choice": card.record.get("surroundings"),
        "copies": card.record.get("settings", {}).get("turned_copies"),
        "copies_choice": card.record.get("copies"),
        "seconds": card.record.get("seconds"),
    }


def _network_px(text: str) -> int | None:
    """Size that was asked for, None for "auto"."""
    if text == "auto":
        return None
    if not (text.isdecimal() and 32 <= int(text) <= 512):
        raise typer.BadParameter('give 32 to 512, or "auto"', param_hint="--network-px")
    return int(text)


def tiles_per_class(card: ModelCard) -> dict[str, int]:
    """Tiles of each class that the model learned from, over all its images."""
    images = card.record.get("images", ())
    return {
        name: sum(int(image["tiles"].get(name, 0)) for image in images) for name in card.class_names
    }


def _text(card: ModelCard, counts: dict[str, int], path: Path) -> str:
    rows = [("Class", "Tiles")] + [(name, str(count)) for name, count in counts.items()]
    scores = card.scores
    if "macro_f1" in scores:
        low, high = scores.get("intervals_95", {}).get("macro_f1", (None, None))
        between = "" if low is None else f" ({low:.3f} to {high:.3f})"
        verdict = (
            f"Score on {scores['speaks_for']}, {scores['method']}: macro-F1 "
            f"{scores['macro_f1']:.3f}{between}, accuracy {scores['accuracy']:.3f}"
        )
    else:
        why = str(scores.get("reason", "not measured"))
        verdict = why if why.startswith("No score") else f"No score: {why}"
    choice = card.record.get("recipe")
    chosen = f"\nWay of looking: {choice['reason']}" if choice else ""
    around = card.record.get("surroundings")
    chosen += f"\nSurroundings: {around['reason']}" if around else ""
    copies = card.record.get("copies")
    chosen += f"\n{copies['reason']}" if copies else ""
    return f"{table(rows)}\n{verdict}\n{_specimens(card)}{chosen}\nWritten: {path}"


def _specimens(card: ModelCard) -> str:
    """Which specimens were held out together, to be looked over."""
    names = dict.fromkeys(str(image["specimen"]) for image in card.record.get("images", ()))
    told = ", ".join(list(names)[:SPECIMENS_TOLD]) + (" …" if len(names) > SPECIMENS_TOLD else "")
    return f"Specimens: {len(names)} ({told}); --specimen says others"
