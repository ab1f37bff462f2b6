"""The frame of one-page reports: a single HTML file that loads nothing and runs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

STYLE = """
body{font:15px/1.45 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#111;
background:#fff}
h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}
table{border-collapse:collapse}th,td{padding:.25em .9em .25em 0;text-align:left;
border-bottom:1px solid #ddd}td.n,th.n{text-align:right}
.swatch{display:inline-block;width:1em;height:1em;border:1px solid #000;vertical-align:-.15em;
margin-right:.5em}
img{max-width:100%;height:auto}pre{background:#f5f5f5;padding:.8em;overflow:auto;font-size:.85em}
.note{color:#555}figure{margin:1em 0}
@media print{details>pre{display:block}}
"""


def page(title: str, parts: Sequence[str]) -> str:
    """A whole page of parts that are HTML already; the title is escaped."""
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def data_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; cells are HTML already, all but the first column hold numbers."""

    def line(cells: Sequence[str], tag: str) -> str:
        first, *rest = cells
        numbers = "".join(f'<{tag} class="n">{cell}</{tag}>' for cell in rest)
        return f"<tr><{tag}>{first}</{tag}>{numbers}</tr>"

    body = "\n".join(line(row, "td") for row in rows)
    return f"<table>\n{line(head, 'th')}\n{body}\n</table>"
