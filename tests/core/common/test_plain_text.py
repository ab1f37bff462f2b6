"""Nothing that a file says steers a terminal, a spreadsheet or a message."""

from __future__ import annotations

import csv
import io
import json

import pytest

from napari_sem_classify.core.common.checked import Fields, Malformed, decoded_json, read_json
from napari_sem_classify.core.common.csv_text import cell_text, cell_value, csv_text, read_csv
from napari_sem_classify.core.common.files import to_json
from napari_sem_classify.core.common.plain_text import name_problem, printable

HOSTILE = [
    *(chr(number) for number in (*range(32), *range(127, 160))),
    *"\u200e\u2028\u2029\u202a\u202e\u2066\u2069\ufeff\ud800\udcff\U000e0041",
]


@pytest.mark.parametrize("character", HOSTILE)
def test_what_cannot_be_printed_becomes_an_escape_in_text_and_in_json(character):
    text = f"a{character}b"
    assert printable(text).isprintable()
    written = to_json({text: text}, indent=None)
    assert written.isprintable()
    assert json.loads(written) == {text: text}


def test_plain_text_in_any_language_stays_as_it_is():
    text = "Gefüge α–β, 5 µm × 3, 酸化物\u3000層"
    assert printable(text) == text
    assert printable("two\nlines\t", lines=True) == "two\nlines\\t"
    assert not name_problem(text)


@pytest.mark.parametrize(
    "text", ["=1+1", "+a", "-a", "@a", "\ta", "\ra", "'=a", "''@a", "-", "=\n"]
)
def test_a_cell_that_a_spreadsheet_would_run_is_quoted_and_comes_back(text, tmp_path):
    assert cell_text(text).startswith("'")
    path = tmp_path / "table.csv"
    path.write_text(csv_text(["path", text], [[text, text]]), newline="")
    assert read_csv(path) == [{"path": text, text.strip().lower(): text}]
    assert next(csv.reader(io.StringIO(csv_text([text], []))))[0][0] == "'"


@pytest.mark.parametrize(
    "value", ["-1.5", "+3", "-2e-05", "-.5", -1.5, "'quoted'", "it's", "a=b", "–"]
)
def test_numbers_and_other_cells_are_written_as_they_are(value):
    assert cell_text(value) == value
    assert cell_value(str(value)) == str(value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\xff\xfe", "UTF-8"),
        (b'a,b\n"' + b"x" * 200_000, "no table"),
        (b"a," * 5000, "columns"),
    ],
)
def test_what_is_no_table_is_told(tmp_path, content, told):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(Malformed, match=told):
        read_csv(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[" * 900 + "]" * 900, "deeper"),
        ('{"a":' * 100_000, "deeper|no JSON"),
        ("[1e400]", "too large"),
        ("[" + "9" * 5000 + "]", "no JSON"),
        ("[36893488147419103232]", "too large"),
        ("{", "no JSON"),
        (b'"\xff"', "no JSON"),
    ],
)
def test_json_that_no_reader_should_meet_is_refused(tmp_path, text, told):
    path = tmp_path / "a.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(Malformed, match=told):
        read_json(path)


def test_not_a_number_is_read_as_nothing():
    assert decoded_json("[NaN, -Infinity, 1.5]") == [None, None, 1.5]


@pytest.mark.parametrize(
    "wrong",
    [
        {"n": True},
        {"n": 2.0},
        {"n": "3"},
        {"n": None},
        {"n": [3]},
        {"n": 11},
        {},
    ],
)
def test_a_field_of_another_kind_is_named_with_its_place(wrong):
    with pytest.raises(Malformed, match=r"^list\[1\]\.n "):
        next(
            fields.whole("n", 0, 10)
            for number, fields in enumerate(Fields({"list": [{"n": 1}, wrong]}).objects("list"))
            if number
        )


@pytest.mark.parametrize("path", ["a\0b", "x" * 256, "/".join(["folder"] * 800), "\ud800"])
def test_a_text_that_no_system_takes_as_a_path_is_refused(path):
    with pytest.raises(Malformed, match="not a path"):
        Fields({"path": path}).path("path")
