"""Evaluations from settings to files."""

import contextlib

import pytest
from saved import (
    QUICK,
    count_correct,
    read_results,
    save_classifier,
    save_run,
)

from tfgan_robust.data.loading import load_test, load_training
from tfgan_robust.data.registry import DATASETS
from tfgan_robust.data.splits import Split
from tfgan_robust.errors import UsageError
from tfgan_robust.evaluation import session
from tfgan_robust.evaluation.options import EvaluateSettings
from tfgan_robust.evaluation.session import evaluate


def options(**given):
    return EvaluateSettings(**{**QUICK, **given})


@pytest.mark.parametrize(
    ("classes", "given", "told"),
    [
        (None, {}, "no model at.*m.keras"),
        (10, {"image_size": 32}, "`image_size` resizes"),
        (5, {}, "knows 5 classes"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(tmp_path, classes, given, told):
    path = tmp_path / "m.keras"
    if classes is not None:
        save_classifier(path, classes)
    with pytest.raises(UsageError, match=told):
        evaluate(options(model=str(path), dataset="digits", **given))


def test_a_run_is_measured_on_its_test_images_at_the_usual_radii(tmp_path):
    model = save_run(tmp_path)
    found = evaluate(
        options(run_dir=str(tmp_path), attacks="fgsm", eps=None, num_images=30)
    )
    assert [r.eps for r in found.results] == [0, *DATASETS["digits"].eps]

    _, test = load_test("digits", image_size=16)
    first = Split(test.images[:30], test.labels[:30])
    assert found.results[0].num_correct == count_correct(model, first)
    stored = read_results(tmp_path)
    assert stored["checkpoint"] == "best"
    assert stored["complete"] is True
    assert stored["classifier"] == found.classifier
    assert (tmp_path / "results.csv").is_file()


def test_the_validation_images_are_those_that_the_run_held_out(tmp_path):
    model = save_run(tmp_path, validation_images=40, seed=3)
    found = evaluate(
        options(run_dir=str(tmp_path), split="validation", num_images=None)
    )

    _, _, held_out = load_training(
        "digits", image_size=16, validation_images=40, seed=3
    )
    assert found.results[0].num_images == 40
    assert found.results[0].num_correct == count_correct(model, held_out)
    assert read_results(tmp_path)["dataset"]["split"] == "validation"


def test_results_go_elsewhere_and_cover_all_images(tmp_path):
    save_run(tmp_path / "run")
    given = {"run_dir": str(tmp_path / "run"), "output": str(tmp_path / "out")}
    found = evaluate(options(**given, attacks="fgsm", num_images=10**6))
    _, test = load_test("digits")
    assert found.results[0].num_images == len(test.labels)
    assert read_results(tmp_path / "out")["results"]
    assert not (tmp_path / "run" / "results.json").exists()


def test_an_interruption_keeps_what_was_measured_and_goes_on(
    tmp_path, monkeypatch
):
    save_run(tmp_path)
    seen = []

    @contextlib.contextmanager
    def interrupting(title, total):
        def progress(attack, eps, done, total, accuracy):
            seen.append((attack, done))
            if attack == "pgd-2" and done > 12:
                raise KeyboardInterrupt

        yield progress

    @contextlib.contextmanager
    def watching(title, total):
        yield lambda *now: seen.append((now[0], now[2]))

    given = {"run_dir": str(tmp_path), "batch_size": 4}
    monkeypatch.setattr(session, "evaluation_progress", interrupting)
    with pytest.raises(KeyboardInterrupt):
        evaluate(options(**given))
    stored = read_results(tmp_path)
    assert stored["complete"] is False
    assert [r["attack"] for r in stored["results"]] == ["clean", "fgsm"]
    assert "INCOMPLETE" in (tmp_path / "evaluation.md").read_text()
    seen.clear()
    monkeypatch.setattr(session, "evaluation_progress", watching)
    evaluate(options(**given))
    # What was settled is shown at once, and never measured again.
    assert [now for now in seen if now[0] == "fgsm"] == [("fgsm", 20)]
    assert min(done for attack, done in seen if attack == "pgd-2") > 12
    stored = read_results(tmp_path)
    assert stored["complete"] is True
    evaluate(options(**given, output=str(tmp_path / "again")))
    whole = read_results(tmp_path / "again")
    for one, other in zip(stored["results"], whole["results"], strict=True):
        assert one["num_correct"] == other["num_correct"]
        assert one["forward_passes"] == other["forward_passes"]
