"""The networks of an evaluation, and those that are refused."""

import dataclasses
import json
import shutil
import subprocess
import sys

import brightness
import numpy as np
import pytest
from cases import slow

from tfgan_robust.classifiers.classifier import Classifier
from tfgan_robust.classifiers.interface import parse_input_range
from tfgan_robust.errors import UsageError
from tfgan_robust.evaluation.measure import evaluate_classifier
from tfgan_robust.evaluation.networks import (
    EvaluationNetworks,
    load_networks,
)
from tfgan_robust.evaluation.options import EvaluateSettings
from tfgan_robust.runs.presets import baseline_of, resolve
from tfgan_robust.training import build
from tfgan_robust.training.checkpoints import save_networks

SHAPE = (16, 16, 3)
SMALL = {"method": "gan", "generator_width": 0.1}
TINY = {"dataset": "digits", "image_size": 16, "classifier_width": 0.05}


def save_run(folder, *, classes=10, **settings):
    """What a training run leaves, as far as an evaluation reads it."""
    config = settings.pop("config", None) or resolve(
        TINY, {} if "method" in settings else SMALL, settings
    )
    model = build.build_model(config, SHAPE, classes)
    save_networks(model, folder / "best")
    (folder / "config.json").write_text(
        json.dumps({"settings": dataclasses.asdict(config)})
    )
    return config


def load(run_dir, **given):
    return load_networks(EvaluateSettings(run_dir=str(run_dir), **given))


def test_a_run_brings_its_generators_and_its_baseline(tmp_path):
    config = save_run(tmp_path)
    assert load(tmp_path).undefended is None
    save_run(tmp_path / "baseline", config=baseline_of(config))
    found = load(tmp_path, attacks="generators")
    names = [generator.name for generator, _ in found.generators]
    assert names == ["generator_0", "generator_1"]
    assert {c.formulation for _, c in found.generators} == {"grad_x"}
    assert found.surrogate is None
    assert found.undefended.description == "baseline (best)"


_FRESH = """
import sys
from tfgan_robust.evaluation.networks import load_networks
from tfgan_robust.evaluation.options import EvaluateSettings

given = EvaluateSettings(run_dir=sys.argv[1], attacks="generators")
print(len(load_networks(given).generators))
given = EvaluateSettings(model=sys.argv[2], dataset="digits")
load_networks(given)
"""


@pytest.mark.slow
def test_a_fresh_process_knows_the_classes_of_the_package(tmp_path):
    learned = {"method": "start", "start_from": "universal"}
    config = save_run(tmp_path, **learned)
    whole = tmp_path / "whole.keras"
    build.build_model(config, SHAPE, 10).save(whole)
    done = subprocess.run(
        [sys.executable, "-c", _FRESH, str(tmp_path), str(whole)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.split() == [str(config.num_networks)], done.stderr
    assert "save its `trained`, and give that" in done.stderr


@pytest.mark.slow
def test_a_natural_run_beside_a_run_is_its_baseline(tmp_path):
    config = save_run(tmp_path / "digits-grad_x-0")
    twin = baseline_of(config)
    save_run(tmp_path / "digits-natural-0", config=twin)
    found = load(tmp_path / "digits-grad_x-0")
    assert found.undefended.description == "digits-natural-0 (best)"
    # It is not its own.
    alone = load(tmp_path / "digits-natural-0")
    assert alone.undefended is None and not alone.generators
    # Nor that of another shape.
    save_run(tmp_path / "digits-natural-0", method="natural",
             classifier_width=0.1)  # fmt: skip
    found = load(tmp_path / "digits-grad_x-0")
    assert found.undefended is None


@pytest.mark.slow
def test_other_networks_are_runs_or_models_of_the_same_shape(tmp_path):
    save_run(tmp_path / "run")
    save_run(tmp_path / "other", method="natural")
    file = tmp_path / "other" / "best" / "classifier.keras"
    found = load(
        tmp_path / "run",
        transfer_from=str(file),
        undefended=str(tmp_path / "other"),
    )
    assert found.surrogate.description == "classifier.keras"
    assert found.undefended.description == "other (best)"
    save_run(tmp_path / "few", classes=3, method="natural")
    for name in ("transfer_from", "undefended"):
        with pytest.raises(UsageError, match=f"`{name}`.*same classes.*3"):
            load(tmp_path / "run", **{name: str(tmp_path / "few")})


def test_the_generators_of_a_run_attack_its_classifier(tmp_path):
    save_run(tmp_path)
    found = load(tmp_path, attacks="generators")
    images = np.random.default_rng(0).integers(0, 256, (12, *SHAPE), np.uint8)
    logits = found.classifier.logits_fn(images / np.float32(255)).numpy()
    evaluation = evaluate_classifier(
        found.classifier,
        images,
        logits.argmax(axis=-1),
        attacks=["generators"],
        eps=[0.2],
        generators=found.generators,
    )
    (stage,) = evaluation.results[1].stages
    # Gradient, judgement, for one generator or for both.
    assert 2 <= stage.forward_passes <= 4
    assert 1 <= stage.backward_passes <= 2
    assert 0 < evaluation.results[1].largest_perturbation <= 0.2 + 1e-6


@pytest.mark.parametrize(
    "damage", ["gone", *slow("cut short", "another network")]
)
def test_all_generators_are_there_or_none_attacks(tmp_path, damage):
    save_run(tmp_path)
    file = tmp_path / "best" / "generator_1.keras"
    if damage == "gone":
        file.unlink()
    elif damage == "cut short":
        file.write_bytes(file.read_bytes()[:1000])
    else:
        shutil.copyfile(file.with_name("classifier.keras"), file)
    with pytest.raises(UsageError, match=r"generator_1\.keras.*leave the att"):
        load(tmp_path, attacks="fgsm,generators")
    # They are not looked at by what does not ask for them.
    assert not load(tmp_path, attacks="fgsm").generators


def test_a_broken_neighbour_keeps_nobody_from_measuring(tmp_path, capsys):
    save_run(tmp_path / "digits-grad_x-0")
    nearby = tmp_path / "digits-natural-0"
    (nearby / "best").mkdir(parents=True)
    (nearby / "config.json").write_text("{")
    (nearby / "best" / "classifier.keras").touch()
    assert load(tmp_path / "digits-grad_x-0").undefended is None
    assert "digits-natural-0 is not looked at" in capsys.readouterr().out
    load(tmp_path / "digits-grad_x-0", audit=False)
    assert capsys.readouterr().out == ""


def test_a_neighbour_of_other_classes_is_no_baseline(tmp_path, capsys):
    config = save_run(tmp_path / "digits-grad_x-0")
    save_run(
        tmp_path / "digits-natural-0", config=baseline_of(config), classes=3
    )
    assert load(tmp_path / "digits-grad_x-0").undefended is None
    assert "is not looked at: it has other" in capsys.readouterr().out


def test_without_generators_there_is_no_such_attack(tmp_path):
    save_run(tmp_path, method="natural")
    found = load(tmp_path)
    with pytest.raises(UsageError, match="method=gan"):
        evaluate_classifier(
            found.classifier,
            np.zeros((4, *SHAPE), np.uint8),
            np.arange(4),
            attacks=["generators"],
            eps=[0.2],
        )


def bright(pixels, name, **given):
    model = brightness.network(parse_input_range(pixels), **given)
    return Classifier.from_keras(model, description=name)


def test_every_network_gets_the_pixels_that_it_was_made_for():
    networks = EvaluationNetworks(
        bright("caffe", "mine"),
        bright("-1,1", "theirs", end="softmax"),
        dataclasses.replace(bright("0,255", "old"), notes=("repaired",)),
    )
    data = brightness.images_and_labels()
    found = networks.fed_as_made(*data, 128)
    floats = data[0] / np.float32(255)
    twin = brightness.network()(floats)
    for network in (found.classifier, found.surrogate, found.undefended):
        np.testing.assert_allclose(network.logits_fn(floats), twin, atol=1e-2)
    theirs, repaired, old = found.reference_notes
    assert theirs.startswith("theirs (logits before its softmax) (pixels -1,1)")
    assert "the model expects pixels -1,1" in theirs
    assert repaired == "old (pixels 0,255): repaired"
    assert "the model expects pixels 0,255" in old
    assert "expects pixels caffe" in found.classifier.notes[0]


@pytest.mark.parametrize("role", ["surrogate", "undefended"])
def test_a_reference_whose_pixels_are_in_doubt_is_named(role):
    data = brightness.images_and_labels(spread=0.6)
    doubtful = bright("cifar10", "r.keras", sharpness=60.0)
    sure = bright("0,1", "mine", sharpness=60.0)
    networks = EvaluationNetworks(sure, **{role: doubtful})
    with pytest.raises(UsageError) as error:
        networks.fed_as_made(*data, 128)
    assert str(error.value).startswith("r.keras expects other pixels than")
    assert "put a layer in front" in str(error.value)
    if role == "surrogate":
        # In Python too, where nothing is guessed.
        with pytest.raises(UsageError, match=r"^r\.keras: The model expects"):
            evaluate_classifier(
                sure, *data, attacks=["fgsm"], eps=[0.1], surrogate=doubtful
            )
