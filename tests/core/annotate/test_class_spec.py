"""Classes as a person names them are names that can be shown."""

from __future__ import annotations

import pytest

from napari_sem_classify.core.annotate.annotation_set import Annotations
from napari_sem_classify.core.annotate.class_spec import parse_classes
from napari_sem_classify.core.common.errors import AnnotationError


@pytest.mark.parametrize("name", ["\x1b[31mred", "two\x85lines", "\u202eder", "n" * 301])
def test_a_name_that_cannot_be_printed_is_refused_where_it_is_given(name):
    with pytest.raises(AnnotationError, match=r"U\+|longer"):
        parse_classes(f"0=matrix,1={name}x")
    with pytest.raises(AnnotationError, match=r"U\+|longer"):
        Annotations().with_class(name)
