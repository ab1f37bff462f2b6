"""The sample of cells that a person reviews."""

from __future__ import annotations

import numpy as np
import pytest
from class_maps import map_of, patchy_labels
from hypothesis import given
from hypothesis import strategies as st

from napari_sem_classify.core.common.errors import AnnotationError, OutputError
from napari_sem_classify.core.measure.review import (
    SKIPPED,
    UNSURE,
    allocate,
    extend_review,
    start_review,
)
from napari_sem_classify.core.measure.review_file import load_review, save_review


def places(review):
    return [(cell.image, cell.row, cell.col) for cell in review.cells]


def test_the_same_seed_gives_the_same_cells_and_another_seed_gives_others():
    maps = [map_of(patchy_labels())]
    first, again, other = (start_review(maps, 60, seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert places(first) != places(other)


def test_no_cell_is_drawn_twice_and_none_that_was_left_out():
    labels = patchy_labels()
    labels[:5] = 0
    review = start_review([map_of(labels)], 500)
    assert len(set(places(review))) == len(review.cells) == 500
    assert all(labels[cell.row, cell.col] == cell.map_class for cell in review.cells)
    assert sum(review.stratum_cells) == (labels > 0).sum()


def test_a_rare_class_gets_its_minimum_and_the_rest_goes_in_proportion():
    # Olofsson et al. (2014), table 5: 640 cells over strata of 2, 1.5, 32 and 64.5 %.
    counts = [200_000, 150_000, 3_200_000, 6_450_000]
    assert allocate(counts, 640, least=75)[:2] == [81, 80]
    assert sum(allocate(counts, 640, least=75)) == 640
    assert allocate([1000, 3, 500], 200)[1] == 3


@given(
    st.lists(st.integers(0, 3000), min_size=1, max_size=8),
    st.integers(0, 2000),
    st.one_of(st.none(), st.integers(0, 200)),
)
def test_an_allocation_adds_up_and_never_asks_for_more_cells_than_there_are(counts, total, least):
    wanted = allocate(counts, total, least)
    assert sum(wanted) == min(total, sum(counts))
    assert all(0 <= have <= count for have, count in zip(wanted, counts, strict=True))


def test_the_first_cells_hold_every_class_so_that_one_can_stop_early():
    review = start_review([map_of(patchy_labels())], 120)
    drawn = [sum(c.map_class == k for c in review.cells) for k in (1, 2, 3)]
    first = [sum(c.map_class == k for c in review.cells[:40]) for k in (1, 2, 3)]
    assert all(abs(part - whole / 3) <= 1 for part, whole in zip(first, drawn, strict=True))


def test_every_cell_of_a_class_is_equally_likely_to_be_drawn():
    labels = patchy_labels((12, 12), shares=(0.5, 0.3, 0.2))
    class_map = map_of(labels)
    drawn = np.zeros(labels.shape)
    for seed in range(400):
        for cell in start_review([class_map], 36, seed=seed).cells:
            drawn[cell.row, cell.col] += 1
    for k in (1, 2, 3):
        counts = drawn[labels == k]
        p = counts.mean() / 400
        # Chi-square of the counts around their mean; a cell that is favoured makes it large.
        ratio = ((counts - counts.mean()) ** 2).sum() / (400 * p * (1 - p)) / (len(counts) - 1)
        assert 0.4 < ratio < 2.0


def test_an_extended_review_keeps_its_answers_and_adds_new_cells_of_the_wanted_classes():
    maps = [map_of(patchy_labels(seed=1)), map_of(patchy_labels(seed=2), image_name="coating_13")]
    review = start_review(maps, 60, seed=9).with_answer(0, 2)
    longer = extend_review(review, maps, [0, 5, 7])
    assert longer.cells[:60] == review.cells
    assert [cell.map_class for cell in longer.cells[60:]].count(2) == 5
    assert [cell.map_class for cell in longer.cells[60:]].count(3) == 7
    assert len(set(places(longer))) == 72


def test_skipped_cells_come_back_at_the_end_and_unsure_ones_do_not():
    review = start_review([map_of(patchy_labels())], 6)
    review = review.with_answer(0, SKIPPED).with_answer(1, UNSURE)
    assert review.next_open == 2
    for index in range(2, 6):
        review = review.with_answer(index, 1)
    assert review.next_open == 0
    assert review.with_answer(0, 3).next_open is None
    assert review.n_answered == 5


def test_an_answer_can_be_taken_back():
    review = start_review([map_of(patchy_labels())], 6)
    assert review.with_answer(3, 1).with_answer(3, None) == review


def test_a_review_of_several_images_takes_cells_from_all_of_them():
    maps = [map_of(patchy_labels(seed=s), image_name=f"field {s}") for s in range(3)]
    review = start_review(maps, 150)
    assert {cell.image for cell in review.cells} == {0, 1, 2}
    assert [m.name for m in review.images] == ["field 0", "field 1", "field 2"]


def test_a_paused_review_goes_on_where_it_was(tmp_path):
    review = start_review([map_of(patchy_labels())], 30, seed=5)
    review = review.with_answer(0, 1).with_answer(1, UNSURE).with_answer(2, SKIPPED)
    save_review(review, tmp_path / "review.json")
    assert load_review(tmp_path / "review.json") == review


def test_whether_a_review_was_blind_is_kept_and_one_glance_at_the_map_ends_it(tmp_path):
    review = start_review([map_of(patchy_labels())], 30)
    assert review.blind is None
    blind = review.with_answer(0, 1, blind=True).with_answer(1, 2, blind=True)
    assert blind.blind is True
    save_review(blind, tmp_path / "review.json")
    assert load_review(tmp_path / "review.json") == blind
    seen = blind.with_answer(2, 1, blind=False)
    assert seen.blind is False
    assert seen.with_answer(3, 1, blind=True).blind is False
    skipped = review.with_answer(0, SKIPPED, blind=False)
    assert skipped.with_answer(1, 1, blind=True).blind is False


def test_a_review_of_an_earlier_version_is_read_and_never_called_blind(tmp_path):
    path = tmp_path / "review.json"
    save_review(start_review([map_of(patchy_labels())], 30).with_answer(0, 1), path)
    path.write_text(path.read_text().replace('  "blind": null,\n', ""))
    assert "blind" not in path.read_text()
    assert load_review(path).with_answer(1, 1, blind=True).blind is None
    path.write_text(path.read_text().replace('"seed": 0', '"blind": "maybe", "seed": 0'))
    with pytest.raises(AnnotationError, match="damaged"):
        load_review(path)


def test_a_file_that_is_no_review_is_refused_in_one_sentence(tmp_path):
    for text in ("", "[1]", '{"format": "other"}', "\x00\x01", "[" * 100_000):
        path = tmp_path / "review.json"
        path.write_text(text)
        with pytest.raises(AnnotationError, match="no review"):
            load_review(path)
    with pytest.raises(AnnotationError, match="cannot be read"):
        load_review(tmp_path / "missing.json")


def test_a_damaged_review_is_refused(tmp_path):
    path = tmp_path / "review.json"
    save_review(start_review([map_of(patchy_labels())], 5), path)
    path.write_text(path.read_text().replace('"seed": 0', '"seed": "soon"'))
    with pytest.raises(AnnotationError, match="damaged"):
        load_review(path)


def test_saving_into_a_missing_folder_says_so_and_leaves_nothing(tmp_path):
    review = start_review([map_of(patchy_labels())], 5)
    with pytest.raises(OutputError, match="cannot be written"):
        save_review(review, tmp_path / "none" / "review.json")


def test_a_review_is_not_used_with_a_map_made_anew():
    labels = patchy_labels()
    review = start_review([map_of(labels)], 30)
    labels[0, 0] = labels[0, 0] % 3 + 1
    with pytest.raises(AnnotationError, match="start a new review"):
        extend_review(review, [map_of(labels)], [1, 1, 1])


def test_maps_of_different_classes_are_not_reviewed_together():
    other = map_of(patchy_labels(), names=("a", "b", "c"))
    with pytest.raises(AnnotationError, match="different classes"):
        start_review([map_of(patchy_labels()), other], 10)


def test_a_map_without_any_classified_cell_cannot_be_reviewed():
    with pytest.raises(AnnotationError, match="no classified cell"):
        start_review([map_of(np.zeros((4, 4), int))], 10)
