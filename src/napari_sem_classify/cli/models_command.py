"""``models list``, ``info`` and ``fetch``: which there are, what each was made for, downloads."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from napari_sem_classify.cli.shared_options import Json
from napari_sem_classify.cli.shell import length_text, report, table, working

KEPT_SO_FAR = "Stopped; the same command goes on with what is lacking."


group = typer.Typer(no_args_is_help=True, help="The catalogue of models.")


@group.command("list")
def list_models(as_json: Json = False) -> None:
    """List the models, and the networks that they stand on, downloaded or not.

    Models that come with the program are first, then those in your own folder.
    """
    from napari_sem_classify.core.model.catalogue import catalogue, networks, user_models_folder

    values: list[dict[str, Any]] = []
    rows = [("NAME", "CLASSES", "TILE", "TITLE")]
    for entry in catalogue():
        card = entry.card
        values.append(
            {
                "name": entry.name,
                "title": card and card.name,
                "path": str(entry.path),
                "source": entry.source,
                "classes": card and list(card.class_names),
                "tile_px": card and card.tile_px,
                "pixel_size_nm": card and card.pixel_size_nm,
                "problem": entry.problem or None,
            }
        )
        row = ("-", "-", entry.problem)
        if card is not None:
            tile = length_text(card.tile_px, card.pixel_size_nm)
            row = (", ".join(card.class_names), tile, card.name)
        rows.append((entry.name, *row))
    text = table(rows) + f"\nYour own models are looked for in {user_models_folder()}.\n\n"
    downloads = [("NETWORK", "STATE", "TITLE")]
    for each in networks():
        problem = None if each.path else "not downloaded"
        value = {"name": each.info.id, "title": each.info.title, "path": each.path}
        value |= {"source": "network", "classes": None, "tile_px": None, "pixel_size_nm": None}
        values.append({**value, "problem": problem})
        state = "comes with the program" if each.info.shipped else "downloaded"
        downloads.append((each.info.id, problem or state, each.info.title))
    report(values, text + table(downloads), as_json)


@group.command("info")
def show_model(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name or a model file.")],
    as_json: Json = False,
) -> None:
    """Show a model's card: classes, tile size, scale, scores, where it comes from."""
    from napari_sem_classify.core.model import load_model

    card = load_model(model).card
    scores = card.scores
    rows = [
        ("Model", card.name),
        ("Kind", f"{card.kind}, on {card.backbone_id}"),
        ("Tile", length_text(card.tile_px, card.pixel_size_nm)),
        ("Pixel size", f"{card.pixel_size_nm:.5g} nm" if card.pixel_size_nm else "not calibrated"),
        ("Network input", f"{card.network_px} px"),
        ("Looks at", card.surroundings.title),
        *(("Class", f"{info.title}  {info.colour}") for info in card.classes),
    ]
    numbers = {name: value for name, value in scores.items() if isinstance(value, float)}
    rows += [(n.replace("_", " ").capitalize(), f"{value:.3f}") for n, value in numbers.items()]
    if "method" in scores:
        rows.append(("Scored by", str(scores["method"])))
    if "date" in card.record:
        rows.append(("Made", str(card.record["date"])))
    report(card.to_dict(), table(rows), as_json)


@group.command("fetch")
def fetch_network(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A network that `models list` names.")
    ],
    as_json: Json = False,
) -> None:
    """Download a network's weights; a download that is cut goes on where it stopped.

    Models on networks that come with the program need none.
    """
    from napari_sem_classify.core.network.fetch import fetch_backbone

    with working(KEPT_SO_FAR) as job:
        path = fetch_backbone(name, job=job)
    report({"name": name, "path": str(path)}, f"{name} is ready: {path}", as_json)
