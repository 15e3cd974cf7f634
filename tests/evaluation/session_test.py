"""Evaluations from settings to files."""

import contextlib
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import slow
from saved import (
    QUICK,
    count_correct,
    read_results,
    save_classifier,
    save_run,
)

from tfgan_robust.audit.audit import audit_classifier
from tfgan_robust.audit.checks import CHECKS
from tfgan_robust.data.loading import load_test, load_training
from tfgan_robust.data.registry import DATASETS
from tfgan_robust.data.splits import Split
from tfgan_robust.errors import UsageError
from tfgan_robust.evaluation import auditing, session
from tfgan_robust.evaluation.merging import read_parts
from tfgan_robust.evaluation.options import EvaluateSettings
from tfgan_robust.evaluation.session import evaluate
from tfgan_robust.evaluation.store import locked
from tfgan_robust.reports.reading import read_evaluation
from tfgan_robust.reports.results import accuracy_fields
from tfgan_robust.reports.verdicts import Check
from tfgan_robust.runs import directory
from tfgan_robust.runs.directory import RunDirectory
from tfgan_robust.runs.images import identities


def options(**given):
    return EvaluateSettings(**{**QUICK, **given})


@pytest.mark.parametrize(
    ("classes", "given", "told"),
    [
        (None, {}, "no model at.*m.keras"),
        (10, {"image_size": 32}, "`image_size=16` resizes"),
        (5, {}, "knows 5 classes, and their names are not known"),
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


def test_clean_images_alone_are_measured_without_an_audit(tmp_path):
    model = save_run(tmp_path)
    found = evaluate(
        options(run_dir=str(tmp_path), attacks="clean", audit=True)
    )
    assert [r.attack for r in found.results] == ["clean"]
    _, test = load_test("digits", image_size=16)
    first = Split(*(part[: QUICK["num_images"]] for part in test))
    assert found.results[0].num_correct == count_correct(model, first)
    assert found.audit is None and found.complete
    shown = (tmp_path / "evaluation.md").read_text("utf-8")
    assert "| clean" in shown and "Classes" not in shown


@pytest.mark.parametrize("split", ["training", "validation"])
def test_images_of_a_run_are_those_that_it_had(tmp_path, split):
    parts = {"train_images": 60, "validation_images": 40}
    model = save_run(tmp_path, **parts, seed=3)
    found = evaluate(
        options(run_dir=str(tmp_path), split=split, num_images=None)
    )

    _, *loaded = load_training("digits", image_size=16, **parts)
    images = dict(zip(("training", "validation"), loaded, strict=True))[split]
    assert found.results[0].num_images == len(images.labels)
    assert found.results[0].num_correct == count_correct(model, images)
    assert read_results(tmp_path)["dataset"]["split"] == split


@pytest.mark.parametrize("other", [None, "training", "validation"])
def test_images_that_a_run_did_not_have_are_refused(tmp_path, other):
    parts = {"train_images": 60, "validation_images": 40}
    save_run(tmp_path, **parts)
    found = identities(*load_training("digits", image_size=16, **parts))
    if other:
        found[other] = {**found[other], "images": "others"}
    config = tmp_path / "config.json"
    stored = json.loads(config.read_text("utf-8"))
    stored["dataset"] = {"identity": found}
    config.write_text(json.dumps(stored), "utf-8")
    given = options(run_dir=str(tmp_path), split="validation", num_images=20)
    if other:
        with pytest.raises(UsageError, match=f"images of {other}.*data_dir"):
            evaluate(given)
        assert not (tmp_path / "results.json").exists()
    else:
        assert evaluate(given).results[0].num_images == 20


def test_results_go_elsewhere_and_cover_all_images(tmp_path):
    save_run(tmp_path / "run")
    given = {"run_dir": str(tmp_path / "run"), "output": str(tmp_path / "out")}
    found = evaluate(options(**given, attacks="fgsm", num_images=10**6))
    _, test = load_test("digits")
    assert found.results[0].num_images == len(test.labels)
    assert read_results(tmp_path / "out")["results"]
    assert not (tmp_path / "run" / "results.json").exists()


def test_an_audit_that_is_stopped_leaves_a_page_of_what_was_measured(
    tmp_path, monkeypatch
):
    save_run(tmp_path)
    given = {"run_dir": str(tmp_path), "batch_size": 4}
    evaluate(options(**given, attacks="noise"))

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "audit", stopped)
    with pytest.raises(KeyboardInterrupt):
        evaluate(options(**given, attacks="noise,fgsm", audit=True,
                         undefended="none"))  # fmt: skip
    measured = [r["attack"] for r in read_results(tmp_path)["results"]]
    assert measured == ["clean", "noise", "fgsm"]
    assert "| fgsm" in (tmp_path / "evaluation.md").read_text()


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


def model_options(folder, **given):
    path = folder / "m.keras"
    return options(
        model=str(path), dataset="digits", output=str(folder / "o"), **given
    )


@pytest.mark.slow
def test_a_model_of_the_same_name_and_weights_is_another_one(tmp_path):
    model = save_classifier(tmp_path / "m.keras")
    evaluate(model_options(tmp_path))
    stored = (tmp_path / "o" / "results.json").read_bytes()
    dimmed = keras.Sequential(
        [keras.Input((16, 16, 3)), keras.layers.Rescaling(0.3, 0.3), model]
    )
    dimmed.save(tmp_path / "m.keras")
    with pytest.raises(UsageError) as error:
        evaluate(model_options(tmp_path, attacks="fgsm,square-10"))
    assert "the classifier's structure, the classifier's answers" in str(
        error.value
    )
    assert (tmp_path / "o" / "results.json").read_bytes() == stored
    evaluate(model_options(tmp_path, overwrite=True))
    found = read_results(tmp_path / "o")
    evaluate(options(
        model=str(tmp_path / "m.keras"), dataset="digits",
        output=str(tmp_path / "alone"),
    ))  # fmt: skip
    alone = read_results(tmp_path / "alone")
    assert [r["num_correct"] for r in found["results"]] == [
        r["num_correct"] for r in alone["results"]
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"num_images": 30}, "number of images, images, labels"),
        *slow(({"norm": "l2"}, "norm"), ({"seed": 1}, "seed")),
    ],
)
def test_another_norm_and_other_images_need_another_folder(
    tmp_path, given, named
):
    save_run(tmp_path)
    evaluate(options(run_dir=str(tmp_path)))
    with pytest.raises(UsageError, match=f"different are {named}. Give"):
        evaluate(options(run_dir=str(tmp_path), **given))
    other = str(tmp_path / "other")
    evaluate(options(run_dir=str(tmp_path), output=other, **given))


def test_euclidean_sizes_are_euclidean(tmp_path):
    save_run(tmp_path)
    evaluate(options(run_dir=str(tmp_path), norm="l2", eps="2", attacks="fgsm"))
    with np.load(tmp_path / "smallest.npz") as smallest:
        changes = smallest["attacked"] - smallest["clean"] / np.float32(255)
        lengths = np.linalg.norm(changes.reshape(len(changes), -1), axis=1)
        np.testing.assert_allclose(smallest["norm"], lengths, rtol=1e-4)
        assert len(lengths) > 0


@pytest.mark.slow
def test_an_audit_belongs_to_the_undefended_network(tmp_path, monkeypatch):
    save_run(tmp_path / "run")
    audited = []

    def audit(classifier, *data, undefended, **rest):
        audited.append(undefended.identity["weights"])
        return [Check("made_up", "PASS", {}, "fine")]

    monkeypatch.setattr(auditing, "audit_classifier", audit)
    assert auditing.audit_classifier is not audit_classifier
    given = {
        "run_dir": str(tmp_path / "run"),
        "undefended": str(tmp_path / "u.keras"),
        "audit": True,
        "audit_images": 8,
    }
    model = save_classifier(tmp_path / "u.keras")
    evaluate(options(**given))
    evaluate(options(**given))
    model.layers[-1].bias.assign_add([1.0] * 10)
    model.save(tmp_path / "u.keras")
    evaluate(options(**given))
    assert len(audited) == len(set(audited)) == 2


@pytest.mark.slow
def test_an_audit_belongs_to_what_was_measured_and_to_its_checks(
    tmp_path, monkeypatch
):
    save_run(tmp_path / "run")
    audited = []

    def audit(classifier, *data, correct, reported, **rest):
        audited.append((sorted(correct), reported))
        verdict = "FAIL" if "square-5" in correct else "PASS"
        return [Check("made_up", verdict, {}, "as was measured")]

    def verdict(attacks):
        evaluate(
            options(
                run_dir=str(tmp_path / "run"), undefended="none", audit=True,
                audit_images=8, eps="0.05,0.1,0.2", attacks=attacks,
            )
        )  # fmt: skip
        return read_results(tmp_path / "run")["audit"][0]["verdict"]

    monkeypatch.setattr(auditing, "audit_classifier", audit)
    assert verdict("fgsm") == verdict("fgsm") == "PASS"
    assert verdict("fgsm,square-5") == "FAIL"
    names = [names for names, _ in audited]
    assert names == [["fgsm"], ["fgsm", "square-5"]]
    # What is reported is the worst case at that radius.
    rows = read_results(tmp_path / "run")["pointwise"]
    (row,) = [row for row in rows if row["eps"] == 0.1]
    assert np.count_nonzero(audited[-1][1]) == row["num_correct"]
    (tmp_path / "checks_of_mine.py").write_text("def check(case): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    rows = {**CHECKS, "mine": "checks_of_mine:check"}
    monkeypatch.setattr(CHECKS, "_rows", rows)
    assert verdict("fgsm") == "PASS"
    assert len(audited) == 3


def test_figures_of_several_evaluations_are_refused_where_they_are_read(
    tmp_path,
):
    save_run(tmp_path)
    evaluate(options(run_dir=str(tmp_path), attacks="fgsm"))
    with np.load(tmp_path / "masks.npz") as stored:
        masks = dict(stored)
    wrong, right = (np.flatnonzero(masks["clean"] == v)[0] for v in (0, 1))
    masks["fgsm@0.1"][:] = False
    results = read_results(tmp_path)
    # As if they had been written so.
    del results["digest"], masks["digest"]
    masks["fgsm@0.1"][wrong] = True
    counted = results["results"][1]
    counted.update(accuracy_fields(1, counted["num_images"]))
    np.savez(tmp_path / "masks.npz", **masks)
    (tmp_path / "results.json").write_text(json.dumps(results))
    with pytest.raises(UsageError, match="are not of one evaluation: fgsm@0.1"):
        read_evaluation(tmp_path)
    masks["fgsm@0.1"][[wrong, right]] = False, True
    np.savez(tmp_path / "masks.npz", **masks)
    with pytest.raises(UsageError, match=r"at 0\.1 does not follow"):
        read_evaluation(tmp_path)
    (worst,) = results["pointwise"]
    worst.update(accuracy_fields(1, counted["num_images"]))
    (tmp_path / "results.json").write_text(json.dumps(results))
    read_evaluation(tmp_path)


def shown_by_tensorboard(run):
    """The figures of test images, by what they are called there."""
    return {
        value.tag: float(tf.make_ndarray(value.tensor))
        for file in (run / "logs" / "test").glob("*")
        for record in tf.data.TFRecordDataset(str(file))
        for value in tf.compat.v1.Event.FromString(record.numpy()).summary.value
    }


# On the same images, and on others.
@pytest.mark.parametrize("images", [20, *slow(30)])
def test_what_training_printed_gives_way_and_people_s_work_does_not(
    tmp_path, capsys, images
):
    save_run(tmp_path)
    (tmp_path / "logs").mkdir()
    printed = options(run_dir=str(tmp_path), attacks="fgsm")
    evaluate(printed, replaceable=True)
    assert "accuracy/fgsm at 0.1" in shown_by_tensorboard(tmp_path)
    evaluate(printed, replaceable=True)
    assert "Printed only" not in capsys.readouterr().out
    asked = options(
        run_dir=str(tmp_path), attacks="fgsm,pgd-2", num_images=images
    )
    evaluate(asked)
    kept = (tmp_path / "results.json").read_bytes()
    shown = shown_by_tensorboard(tmp_path)
    assert "accuracy/pgd-2 at 0.1" in shown
    found = evaluate(printed, replaceable=True)
    assert [r.attack for r in found.results] == ["clean", "fgsm"]
    assert "Printed only, not written: " in capsys.readouterr().out
    assert (tmp_path / "results.json").read_bytes() == kept
    assert shown_by_tensorboard(tmp_path) == shown


@pytest.mark.slow
def test_tensorboard_shows_no_part_as_the_whole(tmp_path):
    save_run(tmp_path)
    (tmp_path / "logs").mkdir()
    given = {"run_dir": str(tmp_path), "attacks": "fgsm"}
    for number in (1, 2):
        evaluate(options(**given, shard=f"{number}/2"))
        assert shown_by_tensorboard(tmp_path) == {}
    parts = read_parts(tmp_path)
    whole = evaluate(parts.options({}), parts=parts)
    shown = shown_by_tensorboard(tmp_path)
    assert shown["accuracy/clean"] == pytest.approx(whole.results[0].accuracy)


def test_a_folder_in_use_is_refused_and_what_training_prints_goes_on(
    tmp_path, capsys
):
    save_run(tmp_path)
    given = {"run_dir": str(tmp_path), "attacks": "fgsm"}
    with locked(tmp_path):
        with pytest.raises(UsageError, match="Another process is measuring"):
            evaluate(options(**given))
        found = evaluate(options(**given), replaceable=True)
    assert "Printed only, not written: Another" in capsys.readouterr().out
    assert not (tmp_path / "results.json").exists()
    # A training there has a lock of its own.
    with directory.locked(RunDirectory(tmp_path)):
        again = evaluate(options(**given), replaceable=True)
    assert again.results[1].num_correct == found.results[1].num_correct
    assert read_results(tmp_path)["complete"]
    # An error gives the folder back as well.
    evaluate(options(**given))
    with pytest.raises(UsageError, match="different are seed"):
        evaluate(options(**given, seed=1))
    with locked(tmp_path):
        pass


@pytest.mark.parametrize(
    "content",
    [
        "epoch,loss\n1,0.5\n",
        "epoch,step\n1,nan\n",
        *slow(
            "epoch,step\n1,1e999\n",
            "epoch,step\n1,1e30\n",
            "epoch,step\n1,-3\n",
            "epoch,step\n1,2\n7,8\n",
        ),
        "\xff",
    ],
)
def test_damaged_figures_of_training_spoil_no_evaluation(
    tmp_path, capsys, content
):
    save_run(tmp_path)
    run = RunDirectory(tmp_path)
    run.logs.mkdir()
    run.metrics.write_bytes(content.encode("latin-1"))
    evaluate(options(run_dir=str(tmp_path), attacks="fgsm"))
    out = capsys.readouterr().out
    assert f"NOTE: {run.metrics} is damaged" in out
    assert list(run.logs.rglob("events*"))


def test_a_run_that_cannot_be_written_spoils_no_evaluation(tmp_path, capsys):
    """As where somebody else's run is read-only, which root does not see."""
    save_run(tmp_path / "run")
    run = RunDirectory(tmp_path / "run")
    run.logs.mkdir()
    (run.logs / "test").touch()
    output = tmp_path / "output"
    found = evaluate(
        options(run_dir=str(run.path), attacks="fgsm", output=str(output))
    )
    assert found.complete and (output / "evaluation.md").is_file()
    assert f"NOTE: {run.logs} cannot be written" in capsys.readouterr().out


@pytest.mark.parametrize("case", [0, *slow(*range(1, 6))])
def test_two_evaluations_in_one_folder_never_mix(tmp_path, case):
    """Random changes of network, images, norm and settings."""
    generator = np.random.default_rng(case)
    models = []
    for number in range(2):
        models.append(tmp_path / f"{number}" / "m.keras")
        save_classifier(models[-1])
    altered = keras.models.load_model(models[1])
    altered.layers[-1].kernel.assign_add(
        0.1
        * np.random.default_rng(1).normal(size=altered.layers[-1].kernel.shape)
    )
    altered.save(models[1])

    def drawn():
        return {
            "model": str(models[generator.integers(2)]),
            "num_images": int(generator.choice([12, 20])),
            "norm": str(generator.choice(["linf", "l2"])),
            "gradient_precision": str(
                generator.choice(["float32", "bfloat16"])
            ),
            "seed": int(generator.integers(2)),
            "attacks": str(generator.choice(["fgsm", "noise", "fgsm,noise"])),
            "eps": str(generator.choice(["0.1", "0.2", "0.1,0.2"])),
            "dataset": "digits",
        }

    for number in range(3):
        given = drawn()
        try:
            evaluate(options(**given, output=str(tmp_path / "shared")))
        except UsageError as error:
            assert "something else" in str(error)
            continue
        alone = tmp_path / f"alone {number}"
        evaluate(options(**given, output=str(alone)))
        for name in ("masks.npz", "smallest.npz"):
            found, expected = (
                dict(np.load(folder / name))
                for folder in (tmp_path / "shared", alone)
            )
            if name == "masks.npz":
                assert found.keys() == expected.keys()
                for key in found:
                    np.testing.assert_array_equal(found[key], expected[key])
