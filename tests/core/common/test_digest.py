"""What a result depends on is named by whole objects."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path

import numpy as np
import pytest

from napari_sem_classify.core.common.digest import digest_of


@dataclass(frozen=True)
class Options:
    sizes: tuple[int, ...] = (32, 64)
    seed: int = 0
    inner: Path | None = None
    values: dict[str, float] = field(default_factory=dict)


def test_equal_objects_have_one_name_and_a_change_of_any_field_another():
    assert digest_of(Options()) == digest_of(Options())
    assert digest_of(Options(values={"a": 1, "b": 2})) == digest_of(
        Options(values={"b": 2, "a": 1})
    )
    changed = [
        Options(),
        Options(sizes=(32,)),
        Options(seed=1),
        Options(inner=Path("here")),
        Options(values={"a": 1.0}),
    ]
    assert len({digest_of(each) for each in changed}) == len(changed)


def test_a_field_that_is_added_to_the_options_changes_the_name():
    more = make_dataclass("Options", [("added", bool, False)], bases=(Options,), frozen=True)
    assert digest_of(more()) != digest_of(Options())


def test_arrays_count_by_type_shape_and_content():
    array = np.arange(6, dtype=np.int64)
    others = [array.reshape(2, 3), array.astype(np.int32), array + 1]
    assert digest_of(array) == digest_of(array.copy()[::1])
    assert len({digest_of(each) for each in (array, *others)}) == 4
    assert digest_of(np.float64(0.5)) == digest_of(0.5)


def test_the_name_is_the_same_in_another_process():
    code = (
        "from pathlib import Path\n"
        "from napari_sem_classify.core.common.digest import digest_of\n"
        "print(digest_of({'b': (1, 2.5), 'a': Path('x')}, None))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == digest_of({"a": Path("x"), "b": [1, 2.5]}, None)


def test_what_cannot_be_told_by_its_content_is_refused():
    with pytest.raises(TypeError, match="cannot be hashed"):
        digest_of(object())
