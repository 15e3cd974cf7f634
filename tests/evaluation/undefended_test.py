"""An audit without an undefended network trains one, or says what is lost."""

import dataclasses

import pytest
from saved import QUICK, read_results, save_classifier

from tfgan_robust.data.registry import DATASETS
from tfgan_robust.evaluation import auditing
from tfgan_robust.evaluation.options import EvaluateSettings
from tfgan_robust.evaluation.session import evaluate
from tfgan_robust.evaluation.undefended import FOLDER
from tfgan_robust.reports.verdicts import Check


@pytest.fixture
def briefly(monkeypatch):
    """Trains for an epoch on few images, and audits no more than it must."""

    def audit(classifier, images, labels, *, undefended, **rest):
        networks.append(undefended)
        return [Check("made_up", "PASS", {}, "fine")]

    networks = []
    row = dataclasses.replace(
        DATASETS["digits"],
        undefended={"epochs": 1, "train_images": 128, "classifier_width": 0.1},
    )
    monkeypatch.setattr(DATASETS, "_rows", {**DATASETS, "digits": row})
    monkeypatch.setattr(auditing, "audit_classifier", audit)
    return networks


def options(folder, **changes):
    model = folder / "model.keras"
    if not model.exists():
        save_classifier(model)
    given = {
        **QUICK,
        "attacks": "fgsm",
        "audit": True,
        "model": str(model),
        "dataset": "digits",
        "image_size": 16,
        "output": str(folder / "out"),
    }
    return EvaluateSettings(**{**given, **changes})


@pytest.mark.slow
def test_one_is_trained_once_and_kept_with_the_evaluation(
    tmp_path, briefly, capsys
):
    evaluate(options(tmp_path))
    evaluate(options(tmp_path, audit_images=9))
    printed = capsys.readouterr().out
    assert f"training an undefended network on digits in {tmp_path}" in printed
    first, second = briefly
    assert first.image_shape == (16, 16, 3) and first.num_classes == 10
    assert first.identity == second.identity
    run = tmp_path / "out" / FOLDER
    assert (run / "metrics.csv").read_text().count("\n") == 2
    assert (run / "last" / "classifier.keras").is_file()
    assert read_results(tmp_path / "out")["complete"]


def test_none_is_trained_if_it_is_not_wanted_or_not_known(tmp_path, briefly):
    evaluate(options(tmp_path, undefended="none"))
    other = tmp_path / "other"
    row = dataclasses.replace(DATASETS["digits"], undefended=None)
    DATASETS._rows["digits"] = row
    evaluate(options(other))
    assert briefly == [None, None]
    assert not list(tmp_path.rglob(FOLDER))


@pytest.mark.slow
def test_a_training_that_fails_leaves_a_line_and_no_network(
    tmp_path, briefly, capsys
):
    row = dataclasses.replace(
        DATASETS["digits"], undefended={"train_images": 10**9}
    )
    DATASETS._rows["digits"] = row
    evaluate(options(tmp_path))
    assert briefly == [None]
    printed = capsys.readouterr().out
    assert "NOTE: no undefended network could be trained: " in printed
    assert "train_images" in printed
