"""Classifiers that come with the package: found, checked, used."""

import hashlib
import json

import numpy as np
import pytest
from saved import QUICK, SHAPE, save_classifier

import tfgan_robust as tr
from tfgan_robust.data.loading import load_test
from tfgan_robust.errors import UsageError
from tfgan_robust.evaluation.options import EvaluateSettings
from tfgan_robust.evaluation.session import evaluate
from tfgan_robust.networks import pretrained
from tfgan_robust.reports.reading import parse_evaluation
from tfgan_robust.runs.presets import resolve
from tfgan_robust.training.build import build_model

INSTALLED = pretrained.names()


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A network of ten digits, installed as `digits-tiny`."""
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    model = save_classifier(tmp_path / "digits-tiny.keras")
    file = tmp_path / "digits-tiny.keras"
    info, _ = load_test("digits", image_size=16)
    card = {
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "dataset": "digits",
        "class_names": info.class_names,
        "settings": {"dataset": "digits", "image_size": 16},
    }
    (tmp_path / "digits-tiny.json").write_text(json.dumps(card))
    return model


@pytest.mark.parametrize("name", ["digits-tiny", "pretrained:digits-tiny"])
def test_it_is_loaded_by_name(model, name):
    images = np.random.default_rng(0).random((3, *SHAPE), np.float32)
    loaded = tr.load_pretrained(name)
    np.testing.assert_allclose(loaded(images), model(images), rtol=1e-6)


def test_unknown_names_list_what_there_is(model):
    with pytest.raises(UsageError, match="Known: digits-tiny. Received: tin"):
        tr.load_pretrained("tiny")


@pytest.mark.parametrize("damage", [b"cut short", None])
def test_a_damaged_or_absent_file_is_refused(model, tmp_path, damage):
    file = tmp_path / "digits-tiny.keras"
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage)
    told = "is absent" if damage is None else "is damaged: its SHA-256"
    with pytest.raises(UsageError, match=told):
        tr.load_pretrained("digits-tiny")


@pytest.mark.parametrize("part", pretrained._PARTS)
def test_a_card_that_lacks_something_is_refused(model, tmp_path, part):
    file = tmp_path / "digits-tiny.json"
    card = json.loads(file.read_text())
    file.write_text(json.dumps({k: v for k, v in card.items() if k != part}))
    with pytest.raises(UsageError, match=f"does not say `{part}`"):
        tr.load_pretrained("digits-tiny")


def test_it_is_evaluated_on_its_own_images(model):
    options = EvaluateSettings(
        **{**QUICK, "image_size": 16, "model": "pretrained:digits-tiny"}
    )
    found = evaluate(options)
    assert found.classifier == "pretrained:digits-tiny"
    assert found.results[0].num_images == QUICK["num_images"]
    with pytest.raises(UsageError, match="what pretrained:digits-tiny takes"):
        tr.load_classifier(model="pretrained:digits-tiny", input_range="0,255")


def test_training_goes_on_from_it(model):
    config = resolve(
        {
            "dataset": "digits",
            "image_size": 16,
            "method": "natural",
            "classifier": "pretrained:digits-tiny",
        }
    )
    built = build_model(config, SHAPE, 10)
    for ours, theirs in zip(
        built.classifier.get_weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", INSTALLED)
def test_what_comes_with_the_package_is_what_its_card_says(name):
    card = pretrained.card(name)
    loaded = tr.load_pretrained(name)
    assert loaded.output_shape == (None, len(card["class_names"]))
    evaluation, _ = parse_evaluation(card["measured"], "its card")
    assert evaluation.complete and evaluation.audit
    assert pretrained.locate(f"pretrained:{name}").stat().st_size < 15 * 2**20
