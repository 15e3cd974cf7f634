"""What goes into the package is the network whose figures its card states."""

import itertools
import json
import shutil

import pytest
from saved import QUICK, read_results, save_classifier, save_run

import tfgan_robust as tr
from experiments import publish as publishing
from tfgan_robust.data.loading import load_test
from tfgan_robust.errors import UsageError
from tfgan_robust.evaluation import auditing
from tfgan_robust.evaluation.options import EvaluateSettings
from tfgan_robust.evaluation.session import evaluate
from tfgan_robust.identity import with_digest
from tfgan_robust.networks import pretrained
from tfgan_robust.reports.reading import parse_evaluation
from tfgan_robust.reports.verdicts import Check


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The folders of a run of digits and of its audited evaluation."""
    folder = tmp_path_factory.mktemp("measured")
    run = folder / "run"
    save_run(run, classifier_width=0.05)
    info, _ = load_test("digits", image_size=16)
    file = run / "config.json"
    stored = json.loads(file.read_text())
    stored["dataset"] = {"class_names": list(info.class_names)}
    file.write_text(json.dumps(stored))
    settings = {**QUICK, "audit": True, "undefended": "none"}
    output = folder / "evaluation"
    with pytest.MonkeyPatch.context() as patch:
        check = Check("made_up", "PASS", {}, "fine")
        patch.setattr(
            auditing, "audit_classifier", lambda *given, **more: [check]
        )
        evaluate(
            EvaluateSettings(**settings, run_dir=str(run), output=str(output))
        )
    return run, output


@pytest.fixture
def publish(tmp_path, monkeypatch, measured):
    """Publishes, in a folder of its own, with what differs."""
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "pretrained")
    run, output = measured
    usual = {"run_dir": run, "evaluation": output, "name": "tiny"}
    return lambda **changes: publishing.publish(
        **usual | {"images": "digits"} | changes
    )


def changed(folder, target, **changes):
    """An evaluation that says something else, as if it had found it."""
    stored = {**read_results(folder), **changes}
    del stored["digest"]
    target.mkdir()
    (target / "results.json").write_text(json.dumps(with_digest(stored)))
    return target


def test_the_card_states_what_was_measured_of_the_file(publish, measured):
    publish()
    run, output = measured
    card, found = pretrained.card("tiny"), read_results(output)
    assert card["measured"] == found
    evaluation, _ = parse_evaluation(card["measured"], "the card")
    assert evaluation.accuracy("pgd-2", 0.1) == found["results"][-1]["accuracy"]
    assert [check.check for check in evaluation.audit] == ["made_up"]
    assert "data_dir" not in card["settings"]
    assert tr.load_pretrained("tiny").output_shape == (None, 10)


def test_the_card_says_how_runs_before_it_were_trained(
    publish, measured, tmp_path
):
    first = measured[0]
    runs = [first, tmp_path / "second", tmp_path / "third"]
    for before, run in itertools.pairwise(runs):
        shutil.copytree(first, run)
        stored = json.loads((run / "config.json").read_text())
        file = before / "best" / "classifier.keras"
        stored["settings"]["classifier"] = str(file)
        (run / "config.json").write_text(json.dumps(stored))
    publish(run_dir=runs[-1])
    card = pretrained.card("tiny")
    begun_with = [each["classifier"] for each in card["begun with"]]
    assert begun_with == ["vgg", "classifier.keras"]
    assert card["settings"]["classifier"] == "classifier.keras"
    publish()
    assert "begun with" not in pretrained.card("tiny")


def test_the_card_says_which_runs_were_averaged(publish, measured, tmp_path):
    run = shutil.copytree(measured[0], tmp_path / "average")
    file = run / "config.json"
    stored = json.loads(file.read_text())
    first = {**stored["settings"], "data_dir": "/somewhere"}
    second = {**first, "classifier": "/somewhere/last/classifier.keras"}
    file.write_text(json.dumps({**stored, "averaged": [first, second]}))
    publish(run_dir=run)
    averaged = pretrained.card("tiny")["averaged"]
    begun_with = [each["classifier"] for each in averaged]
    assert begun_with == ["vgg", "classifier.keras"]
    assert "somewhere" not in json.dumps(averaged)


def test_figures_of_another_network_are_refused(publish, measured, tmp_path):
    run = tmp_path / "other"
    save_run(run)
    (run / "config.json").write_bytes(
        (measured[0] / "config.json").read_bytes()
    )
    model = save_classifier(run / "best" / "classifier.keras")
    model.set_weights([2 * each for each in model.get_weights()])
    model.save(run / "best" / "classifier.keras")
    with pytest.raises(UsageError, match="the classifier's weights"):
        publish(run_dir=run)
    assert not pretrained.FOLDER.exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"complete": False}, "is INCOMPLETE"),
        ({"audit": None}, "without an audit"),
        ({"checkpoint": None}, "not of a run's classifier"),
        ({"identity": None}, "cannot prove it"),
    ],
)
def test_an_evaluation_that_tells_less_is_refused(
    publish, measured, tmp_path, changes, told
):
    folder = changed(measured[1], tmp_path / "changed", **changes)
    with pytest.raises(UsageError, match=told):
        publish(evaluation=folder)
    assert not pretrained.FOLDER.exists()


def test_a_large_file_is_refused(publish, monkeypatch):
    monkeypatch.setattr(publishing, "MOST_BYTES", 1000)
    with pytest.raises(UsageError, match="not have more than 1000 bytes"):
        publish()
    assert not pretrained.FOLDER.exists()
