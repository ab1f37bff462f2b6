"""A model file comes back as it was written; one that is not right is refused in one sentence."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from cli_files import files_in

from napari_sem_classify.core.classify.judgement import judgement_of
from napari_sem_classify.core.common.errors import ModelError, OutputError
from napari_sem_classify.core.model import catalogue as catalogue_module
from napari_sem_classify.core.model.card import FORMAT_VERSION, ClassInfo, ModelCard
from napari_sem_classify.core.model.catalogue import catalogue, load_model
from napari_sem_classify.core.model.file import read_card, save_model
from napari_sem_classify.core.model.head import Head, TileClassifier
from napari_sem_classify.core.model.plane_scores import scores_on
from napari_sem_classify.core.model.stage_heads import StageHeads
from napari_sem_classify.core.model.surroundings import ALONE, Surroundings
from napari_sem_classify.core.model.transfer import NO_JUDGEMENT, Calibration, Transfer
from napari_sem_classify.core.network.backbone import BACKBONES, DEFAULT_BACKBONE
from napari_sem_classify.core.sem_io import image_from_array
from napari_sem_classify.core.tiles.grid import TileGrid

FEATURES = 3584


def taught(classes=3, **changes):
    rng = np.random.default_rng(0)
    card = ModelCard(
        name="coating",
        classes=tuple(ClassInfo(f"class {i}", f"#0000{i:02x}") for i in range(classes)),
        tile_px=64,
        network_px=128,
        pixel_size_nm=12.3,
        backbone_id=DEFAULT_BACKBONE,
        backbone_sha256=BACKBONES[DEFAULT_BACKBONE].sha256,
        scores={"macro_f1": 0.81},
        record={"images": ["a.tif"]},
    )
    head = Head(
        mean=rng.normal(size=FEATURES).astype(np.float32),
        scale=rng.uniform(0.5, 2, FEATURES).astype(np.float32),
        weight=rng.normal(size=(classes, FEATURES)).astype(np.float32),
        bias=rng.normal(size=classes).astype(np.float32),
    )
    return TileClassifier(replace(card, **changes), head)


def fine_tuned():
    trunk = {
        "conv1.weight": np.ones((64, 3, 7, 7), np.float16),
        "bn1.running_mean": np.zeros(64, np.float32),
        "bn1.num_batches_tracked": np.array(7, np.int64),
    }
    return TileClassifier(replace(taught().card, kind="fine-tuned"), taught().head, trunk)


def rewritten(path, change):
    """Change the card in a file by hand, as an older or newer program might have written it."""
    from safetensors.numpy import load_file, save_file

    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    card = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["card"])
    change(card)
    save_file(load_file(path), path, metadata={"card": json.dumps(card)})
    return path


def refusal(path):
    with pytest.raises(ModelError) as caught:
        load_model(path)
    sentence = str(caught.value)
    assert path.name in sentence
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


def test_a_taught_model_comes_back_as_it_was_and_is_small(tmp_path):
    model = taught(classes=12)
    path = save_model(tmp_path / "m.safetensors", model)
    back = load_model(path)
    assert back.card == model.card
    for name in ("mean", "scale", "weight", "bias"):
        assert np.array_equal(getattr(back.head, name), getattr(model.head, name))
    assert back.trunk is None
    assert path.stat().st_size < 1_000_000
    assert files_in(tmp_path) == ["m.safetensors"]


def test_a_fine_tuned_model_brings_its_network(tmp_path):
    model = fine_tuned()
    back = load_model(save_model(tmp_path / "m.safetensors", model))
    assert set(back.trunk) == set(model.trunk)
    for name, value in model.trunk.items():
        assert back.trunk[name].dtype == value.dtype
        assert np.array_equal(back.trunk[name], value)


def test_the_same_model_makes_the_same_bytes(tmp_path):
    one = save_model(tmp_path / "one.safetensors", taught())
    other = save_model(tmp_path / "other.safetensors", taught())
    assert one.read_bytes() == other.read_bytes()


def test_the_suffix_is_added(tmp_path):
    assert save_model(tmp_path / "coating v1.2", taught()).name == "coating v1.2.safetensors"


def test_the_card_is_read_alone(tmp_path):
    path = save_model(tmp_path / "m.safetensors", fine_tuned())
    assert read_card(path) == fine_tuned().card


@pytest.mark.parametrize("kept", [0, 5, 8, 9, 500, 30_000])
def test_a_file_cut_short_is_refused(tmp_path, kept):
    path = save_model(tmp_path / "m.safetensors", taught())
    path.write_bytes(path.read_bytes()[:kept])
    refusal(path)


@pytest.mark.parametrize("protocol", range(6))
def test_a_renamed_pickle_is_refused_and_not_opened(tmp_path, protocol):
    path = tmp_path / "m.safetensors"
    path.write_bytes(pickle.dumps({"weight": [1.0] * 100}, protocol=protocol))
    refusal(path)


def test_a_renamed_torch_file_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "m.safetensors"
    torch.save({"weight": torch.zeros(3)}, path)
    assert "pickle" in refusal(path)


def test_text_and_an_image_are_refused(tmp_path):
    for content in (b"hello, this is no model at all", b"\x89PNG\r\n\x1a\n" + bytes(100)):
        path = tmp_path / "m.safetensors"
        path.write_bytes(content)
        assert "not a model file" in refusal(path)


def test_a_huge_header_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes((90_000_000).to_bytes(8, "little") + b"{" + b" " * 100)
    assert "header" in refusal(path)


def test_a_file_too_large_is_refused_before_it_is_read(tmp_path):
    path = save_model(tmp_path / "m.safetensors", taught())
    with path.open("r+b") as file:
        file.truncate(2_100_000_000)  # sparse: takes no space on the disk
    assert "too large" in refusal(path)


def test_a_missing_file_is_named(tmp_path):
    assert "no model file" in refusal(tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("format_version", 99, "update"),
        ("format_version", 0, "damaged"),
        ("format_version", "1", "damaged"),
        ("format", "something else", "not a model of this program"),
        ("tile_px", 1e999, "damaged"),
        ("network_px", 10**9, "impossible"),
        ("temperature", 0.0, "impossible"),
        ("classes", [{"name": "one", "colour": "#000000"}], "two or more"),
        ("classes", [{"name": "one", "colour": "red"}] * 2, "damaged"),
        ("backbone_id", "resnet1001", "does not know"),
        ("backbone_sha256", "ab" * 32, "other weights"),
        ("stages", [4], "does not fit its card"),
        ("kind", "fine-tuned", "lacks a network"),
        ("kind", "other", "damaged"),
        ("intensity", {"low_percentile": "a"}, "damaged"),
        ("intensity", {"low_percentile": 99.0, "high_percentile": 1.0}, "damaged"),
        ("intensity", 5, "damaged"),
    ],
)
def test_a_card_that_is_not_right_is_refused(tmp_path, field, value, says):
    path = save_model(tmp_path / "m.safetensors", taught())
    rewritten(path, lambda card: card.update({field: value}))
    assert says in refusal(path)


def test_a_card_without_a_field_is_refused(tmp_path):
    path = save_model(tmp_path / "m.safetensors", taught())
    rewritten(path, lambda card: card.pop("tile_px"))
    assert "tile_px" in refusal(path)


def test_a_model_for_another_version_of_the_users_weights_is_refused(tmp_path, monkeypatch):
    from napari_sem_classify.core.model import file
    from napari_sem_classify.core.network import backbone

    for module in (backbone, file):
        monkeypatch.setattr(module, "user_weights_folder", lambda: tmp_path)
    micronet = BACKBONES["resnet50-imagenet-micronet"]
    (tmp_path / micronet.filename).write_bytes(b"one version")
    right = backbone.backbone_sha256(micronet.id)
    model = taught(backbone_id=micronet.id, backbone_sha256=right)
    path = save_model(tmp_path / "m.safetensors", model)
    assert load_model(path).card.backbone_sha256 == right
    (tmp_path / micronet.filename).write_bytes(b"and another")
    assert "another version" in refusal(path)


def test_weights_without_a_card_are_refused(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "m.safetensors"
    save_file({"weight": np.zeros(3)}, path)
    assert "without a model card" in refusal(path)


def test_a_card_that_is_no_json_is_refused(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "m.safetensors"
    for text in ("{", "[" * 100_000, "5"):
        save_file({"weight": np.zeros(3)}, path, metadata={"card": text})
        refusal(path)


def test_weights_of_other_classes_than_the_card_names_are_refused(tmp_path):
    path = save_model(tmp_path / "m.safetensors", taught(classes=3))
    extra = {"name": "fourth", "colour": "#123456"}
    rewritten(path, lambda card: card["classes"].append(extra))
    assert "4 classes" in refusal(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused_in_a_file(tmp_path, value):
    from safetensors.numpy import load_file, save_file

    path = save_model(tmp_path / "m.safetensors", taught())
    tensors = load_file(path)
    tensors["head.weight"][1, 7] = value
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    save_file(tensors, path, metadata=header["__metadata__"])
    assert "NaN" in refusal(path)


def test_weights_too_large_to_reckon_with_are_one_sentence_and_no_map_of_holes():
    weight = np.full((2, 3), 3e38, np.float32)
    head = Head(np.zeros(3, np.float32), np.ones(3, np.float32), weight, np.zeros(2, np.float32))
    with pytest.raises(ModelError, match="gives no numbers for these tiles"):
        head.probabilities(np.full((4, 3), 2, np.float32))


def test_a_broken_model_is_not_saved_and_the_old_file_stays(tmp_path):
    path = save_model(tmp_path / "m.safetensors", taught())
    before = path.read_bytes()
    broken = taught()
    broken.head.weight[0, 0] = np.nan
    with pytest.raises(ModelError, match="NaN"):
        save_model(path, broken)
    assert path.read_bytes() == before
    assert files_in(tmp_path) == ["m.safetensors"]


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(OutputError):
        save_model(tmp_path / "none" / "m.safetensors", taught())


@pytest.fixture
def two_folders(tmp_path, monkeypatch):
    shipped, user = tmp_path / "shipped", tmp_path / "user"
    shipped.mkdir()
    user.mkdir()
    monkeypatch.setattr(catalogue_module, "shipped_models_folder", lambda: shipped)
    monkeypatch.setattr(catalogue_module, "user_models_folder", lambda: user)
    return shipped, user


def test_the_catalogue_lists_the_demo_then_shipped_then_the_users(two_folders):
    shipped, user = two_folders
    for folder, name in ((shipped, "alloy"), (shipped, "demo"), (user, "Zinc"), (user, "brass")):
        save_model(folder / f"{name}.safetensors", taught(name=f"my {name}"))
    entries = catalogue()
    assert [entry.name for entry in entries] == ["demo", "alloy", "brass", "Zinc"]
    assert [entry.source for entry in entries] == ["shipped", "shipped", "user", "user"]
    assert entries[0].card.name == "my demo"


def test_a_broken_file_is_listed_with_its_problem(two_folders):
    _, user = two_folders
    (user / "bad.safetensors").write_bytes(b"nothing")
    (entry,) = catalogue()
    assert entry.card is None
    assert "bad.safetensors" in entry.problem


def test_folders_that_are_not_there_are_an_empty_catalogue(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue_module, "shipped_models_folder", lambda: tmp_path / "a")
    monkeypatch.setattr(catalogue_module, "user_models_folder", lambda: tmp_path / "b")
    assert catalogue() == []


def test_a_model_is_found_by_its_files_name_or_its_own(two_folders):
    _, user = two_folders
    save_model(user / "brass.safetensors", taught(name="Brass, polished"))
    assert load_model("brass").card.name == "Brass, polished"
    assert load_model("Brass, polished").card.name == "Brass, polished"


def test_an_unknown_name_is_told_with_the_names_there_are(two_folders):
    _, user = two_folders
    save_model(user / "brass.safetensors", taught())
    with pytest.raises(ModelError, match=r"'bronze'.*brass"):
        load_model("bronze")


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("name", "\ud800", "U+D800"),
        ("name", 5, "not a text"),
        ("tile_px", True, "tile_px is true"),
        ("tile_px", 64.5, "whole number"),
        ("pixel_size_nm", "25", "not a number"),
        ("pixel_size_nm", 2**65, "too large"),
        ("dense", "false", "true or false"),
        ("stages", [3, 3], "do not ascend"),
        ("scores", [], "not an object"),
        ("record", json.loads('{"a":' * 40 + "1" + "}" * 40), "nested deeper"),
        (
            "classes",
            [{"name": f"c{n}", "colour": "#000000"} for n in range(10_000)],
            "more than 1000",
        ),
        ("classes", [{"name": "one", "colour": "#000000"}] * 2, "'one' comes twice"),
        ("classes", [{"name": "\x1b[31mred", "colour": "#000000"}], "U+001B"),
        ("classes", [{"name": "\u202eder", "colour": "#000000"}], "U+202E"),
        ("classes", [{"name": "two\nlines", "colour": "#000000"}], "U+000A"),
        ("classes", [{"name": "one", "colour": "#+12345"}], "#rrggbb"),
        ("classes", [{"name": "one", "colour": "#\uff11\uff12\uff13456"}], "#rrggbb"),
        ("intensity", {"per_tile": 1}, "true or false"),
        ("intensity", {"low_percentile": 1.0, "gamma": 2.0}, "not known"),
    ],
)
def test_what_a_card_says_is_checked_field_by_field(tmp_path, field, value, says):
    path = save_model(tmp_path / "m.safetensors", taught())
    rewritten(path, lambda card: card.update({field: value}))
    sentence = refusal(path)
    assert says in sentence
    assert sentence.isprintable()


def test_a_card_that_could_not_be_read_back_is_not_written(tmp_path):
    model = taught()
    twice = replace(model.card, classes=(ClassInfo("a", "#000000"),) * 3)
    with pytest.raises(ModelError, match="comes twice"):
        save_model(tmp_path / "m.safetensors", replace(model, card=twice))
    assert list(tmp_path.iterdir()) == []


def judging(**changes):
    """A model with heads of its stages."""
    rng = np.random.default_rng(1)
    stages = StageHeads(
        rng.normal(size=(3, FEATURES)).astype(np.float32),
        rng.normal(size=(3, 3)).astype(np.float32),
        (512, 1024, 2048),
        np.zeros(FEATURES, np.float32),
        np.ones(FEATURES, np.float32),
    )
    known = Transfer(Calibration(0.93, -0.02, 0.03, 5, 4, 1.0, 0.1))
    changes = {"transfer": known, "format_version": FORMAT_VERSION} | changes
    return replace(taught(**changes), stages=stages)


def test_heads_of_the_stages_and_their_calibration_come_back(tmp_path):
    model = judging()
    found = load_model(save_model(tmp_path / "judging", model))
    assert found.card.transfer == model.card.transfer
    np.testing.assert_array_equal(found.stages.weight, model.stages.weight)
    np.testing.assert_array_equal(found.stages.bias, model.stages.bias)
    assert found.stages.sizes == (512, 1024, 2048)


def test_a_model_from_before_opens_and_carries_no_judgement(tmp_path):
    def from_before(card):
        del card["transfer"]

    path = save_model(tmp_path / "old", taught())
    rewritten(path, from_before)
    found = load_model(path)
    assert found.stages is None
    image = image_from_array(np.zeros((64, 64), np.uint8), "image")
    scores = scores_on(found, TileGrid(image.area, 64, 64))
    assert judgement_of(found, image, scores) == NO_JUDGEMENT


@pytest.mark.parametrize(
    ("name", "value"), [("promise", 1.5), ("spread", "wide"), ("images", 1), ("offset", None)]
)
def test_an_impossible_calibration_is_refused(tmp_path, name, value):
    path = save_model(tmp_path / "judging", judging())
    rewritten(path, lambda card: card["transfer"]["calibration"].update({name: value}))
    with pytest.raises(ModelError, match=f"transfer.calibration.{name}"):
        load_model(path)


def test_heads_of_the_stages_without_a_word_on_the_card_are_refused(tmp_path):
    with pytest.raises(ModelError, match="heads of the stages"):
        save_model(tmp_path / "judging", judging(transfer=None))
    path = save_model(tmp_path / "taught", taught())
    rewritten(path, lambda card: card.update(transfer={"calibration": None, "reason": ""}))
    with pytest.raises(ModelError, match=r"lacks the weights stages\.weight"):
        load_model(path)


def looking_around():
    around = Surroundings(context=True, alignment=0.5, smoothing=0.2)
    model, rng = taught(surroundings=around, format_version=2), np.random.default_rng(1)
    wide = [rng.uniform(0.5, 2, 2 * FEATURES).astype(np.float32) for _ in range(2)]
    weight = rng.normal(size=(3, 2 * FEATURES)).astype(np.float32)
    usual = rng.normal(size=FEATURES).astype(np.float32)
    return replace(model, head=Head(*wide, weight, model.head.bias, usual))


def test_what_surrounds_a_tile_comes_back_with_the_model(tmp_path):
    model = looking_around()
    found = load_model(save_model(tmp_path / "around", model))
    assert found.card == model.card
    assert np.array_equal(found.head.usual, model.head.usual)
    assert found.head.weight.shape == (3, 2 * FEATURES)


def test_a_model_from_before_looks_at_the_tile_alone(tmp_path):
    path = save_model(tmp_path / "old", taught())
    rewritten(path, lambda card: card.pop("surroundings"))
    found = load_model(path)
    assert found.card.surroundings == ALONE
    assert found.card.format_version == 1
    assert found.head.usual is None


def test_surroundings_that_do_not_fit_the_head_are_refused(tmp_path):
    path = save_model(tmp_path / "around", looking_around())
    rewritten(path, lambda card: card["surroundings"].update(context=False))
    assert "does not fit its card" in refusal(path)
    path = save_model(tmp_path / "alone", taught())
    rewritten(path, lambda card: card["surroundings"].update(alignment=1.0))
    assert "lacks the weights head.usual" in refusal(path)
    rewritten(path, lambda card: card["surroundings"].update(alignment="much"))
    assert "impossible model card" in refusal(path)
