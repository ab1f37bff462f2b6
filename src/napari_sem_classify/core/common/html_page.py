"""One-page reports: a single HTML file that loads nothing and runs nothing."""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING, Any

from napari_sem_classify.core.common.files import to_json
from napari_sem_classify.core.common.plain_text import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURE_DPI = 130


def render(template: str, **values: Any) -> str:
    """Fill a template; every text from outside (names, cards, records) is escaped.

    Parameters
    ----------
    template : str
        Its path in `core`, such as "export/report.html". It extends "common/page.html".
    **values
        What it shows. One that it asks for and that is not given is an error.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("napari_sem_classify", "core"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_as_seen,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["json"] = _as_json
    return environment.get_template(template).render(values) + "\n"


def _as_seen(value: Any) -> Any:
    return printable(value, lines=True) if type(value) is str else value  # mark-up stays


def _as_json(value: Any) -> Any:
    from markupsafe import Markup

    return Markup(html.escape(to_json(value)))  # quotes as &quot;, which people can read


def as_base64(figure: Figure) -> str:
    """A figure as PNG in base64, to stand inside a page."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=PICTURE_DPI, facecolor="white", format="png")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
