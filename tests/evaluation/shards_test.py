"""Parts of an evaluation: measured apart, put together, or refused."""

import json
import re
import shutil
import subprocess
import sys
from contextlib import nullcontext

import keras
import numpy as np
import pytest
from saved import assert_same, read_results, save_classifier, save_run

from tfgan_robust import evaluate as command
from tfgan_robust.data.loading import load_test
from tfgan_robust.errors import UsageError
from tfgan_robust.evaluation.merging import read_parts
from tfgan_robust.evaluation.options import EvaluateSettings
from tfgan_robust.evaluation.session import evaluate
from tfgan_robust.evaluation.shards import Shard
from tfgan_robust.networks.logits import as_floats
from tfgan_robust.networks.vgg import build_vgg
from tfgan_robust.reports.reading import read_evaluation

# A batch smaller than a part, and parts of unequal size.
SETTINGS = {
    "attacks": "pgd-3,apgd-t-4",
    "eps": "0.02,0.1",
    "dataset": "digits",
    "num_images": 41,
    "batch_size": 8,
    "seed": 3,
    "audit": False,
}
QUICKER = {"attacks": "fgsm,pgd-2", "eps": "0.1"}


def flags(folder, **given):
    values = {**SETTINGS, "model": folder / "m.keras", **given}
    return [f"--{name}={value}" for name, value in values.items()]


def run(*given):
    return subprocess.run(
        [sys.executable, "-m", "tfgan_robust.evaluate", *given],
        capture_output=True,
        text=True,
    )


def part(folder, shard, **given):
    settings = {**SETTINGS, "model": str(folder / "m.keras"), **given}
    settings = {"output": str(folder / "parts"), **settings}
    return evaluate(EvaluateSettings(**settings, shard=shard))


@pytest.mark.parametrize(
    ("text", "total", "expected"),
    [("1/3", 10, (0, 3)), ("3/3", 10, (6, 10)), ("1/1", 5, (0, 5))],
)
def test_parts_are_neighbouring_images(text, total, expected):
    found = Shard.parse(text).images(total)
    assert (found.start, found.stop) == expected


def test_parts_hold_every_image_once():
    for total in (7, 8, 100):
        parts = [Shard(n, 7).images(total) for n in range(1, 8)]
        images = [i for each in parts for i in range(total)[each]]
        assert images == list(range(total))
        sizes = {each.stop - each.start for each in parts}
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    "text", ["0/8", "9/8", "8", "a/b", "1/0", "-1/8", "1/8/8", "1/9999999", ""]
)
def test_a_part_that_there_is_not_is_refused(text):
    with pytest.raises(UsageError, match="`shard` must"):
        EvaluateSettings(model="m", dataset="digits", output="o", shard=text)


def test_a_part_needs_a_place_and_an_image(tmp_path):
    with pytest.raises(UsageError, match="`shard` needs `output`"):
        EvaluateSettings(model="m", dataset="digits", shard="1/2")
    save_classifier(tmp_path / "m.keras")
    with pytest.raises(UsageError, match="splits 3 images.*shard=1/4"):
        part(tmp_path, "1/4", num_images=3)
    assert not (tmp_path / "parts").exists()


@pytest.mark.slow
def test_commands_put_together_what_one_process_measures(tmp_path):
    """Figures, verdicts and smallest perturbations, and the audit."""
    save_classifier(tmp_path / "m.keras")
    audit = {"audit": True, "audit_images": 8, "undefended": "none"}
    parts, whole = tmp_path / "parts", tmp_path / "whole"
    for number in (3, 1, 2):
        done = run(*flags(tmp_path, output=parts, shard=f"{number}/3", **audit))
        assert (done.returncode, done.stderr) == (0, "")
        folder = parts / "shards" / f"{number}-of-3"
        assert f"written to {folder / 'results.json'}" in done.stdout
        assert "audit: not run" in done.stdout
        assert done.stdout.endswith(f"tfgan_robust.evaluate --merge={parts}\n")
        assert f"part {number}/3" in (folder / "evaluation.md").read_text()
    together = run(f"--merge={parts}")
    assert (together.returncode, together.stderr) == (0, "")
    alone = run(*flags(tmp_path, output=whole, **audit))
    assert alone.returncode == 0
    assert_same(parts, whole)
    assert len(read_results(parts)["audit"]) > 0
    # Tables, conditions and audit alike, for people too.
    shown = [done.stdout.split("written")[0] for done in (together, alone)]
    assert shown[0].endswith(shown[1].partition("| classifier")[2])
    read_evaluation(parts)


def merge(folder, **given):
    parts = read_parts(folder)
    return evaluate(parts.options(given), parts=parts)


@pytest.mark.slow
def test_parts_of_other_batches_are_what_one_process_measures(tmp_path):
    """A network of convolutions, in batches that shrink with other images."""
    _, test = load_test("digits")
    images, labels = (each[:100] for each in test)
    keras.utils.set_random_seed(0)
    model = build_vgg(
        images.shape[1:],
        len(np.unique(labels)),
        classifier_width=1 / 16,
        batchnorm_momentum=0.9,
        dropout_scale=0.0,
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss)
    model.fit(as_floats(images), labels, epochs=20, batch_size=20, verbose=0)
    model.save(tmp_path / "m.keras")
    given = {
        "attacks": "pgd-5,apgd-t-5,square-50",
        "num_images": 100,
        "batch_size": 64,
    }
    whole = tmp_path / "whole"
    alone = part(tmp_path, None, output=str(whole), **given)
    assert alone.accuracy("clean") > 0.9
    for number in (1, 2, 3):
        part(tmp_path, f"{number}/3", **given)
    merge(tmp_path / "parts")
    assert_same(tmp_path / "parts", whole)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A classifier; three parts of its evaluation; and the evaluation."""
    folder = tmp_path_factory.mktemp("measured")
    save_classifier(folder / "m.keras")
    part(folder, None, output=str(folder / "whole"), **QUICKER)
    for number in (1, 2, 3):
        part(folder, f"{number}/3", **QUICKER)
    return folder


@pytest.fixture
def copied(measured, tmp_path):
    """The same, to be changed."""
    shutil.copytree(measured, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_parts_are_what_one_process_measures(measured, copied):
    merge(copied / "parts", model=str(copied / "m.keras"))
    assert_same(copied / "parts", measured / "whole")


@pytest.mark.slow
def test_a_part_that_was_stopped_goes_on(measured, copied):
    seen = []

    def stop(attack, eps, done, total, accuracy):
        seen.append(attack)
        if attack == "pgd-2" and done > 5:
            raise KeyboardInterrupt

    shutil.rmtree(copied / "parts" / "shards" / "2-of-3")
    given = {"output": str(copied / "parts"), "model": str(copied / "m.keras")}
    options = EvaluateSettings(**{**SETTINGS, **QUICKER, **given}, shard="2/3")
    with pytest.raises(KeyboardInterrupt):
        evaluate(options, progress=lambda *_: nullcontext(stop))
    with pytest.raises(UsageError, match="3 parts .*; not finished: 2/3"):
        read_parts(copied / "parts")
    seen.clear()
    evaluate(
        options,
        progress=lambda *_: nullcontext(lambda *now: seen.append(now[0])),
    )
    # What was settled is told of once, and not measured again.
    assert seen.count("clean") == seen.count("fgsm") == 1
    merge(copied / "parts", model=str(copied / "m.keras"))
    assert_same(copied / "parts", measured / "whole")


def refusal(folder, *given, monkeypatch, capsys):
    """The one line with which the command refuses, without TensorFlow."""
    monkeypatch.setattr(sys, "argv", ["evaluate", f"--merge={folder}", *given])
    monkeypatch.setattr(command, "load", None)
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        command.main()
    out, err = capsys.readouterr()
    assert (end.value.code, out) == (2, "")
    (line,) = err.splitlines()
    return line


def lose(shards):
    shutil.rmtree(shards / "2-of-3")


def double(shards):
    shutil.copytree(shards / "2-of-3", shards / "copy")


def leave_unmeasured(shards):
    (shards / "3-of-3" / "results.json").unlink()


def leave_incomplete(shards):
    path = shards / "1-of-3" / "results.json"
    results = json.loads(path.read_text())
    del results["digest"]
    path.write_text(json.dumps({**results, "complete": False}))


def damage(shards):
    (shards / "1-of-3" / "progress.npz").write_bytes(b"nothing")


def swap_progress(shards):
    shutil.copy(shards / "1-of-3" / "progress.npz", shards / "2-of-3")


def name_an_unknown_setting(shards):
    path = shards / "1-of-3" / "shard.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, "colour": "red"}))


def list_the_settings(shards):
    (shards / "2-of-3" / "shard.json").write_text("[]")


def change_the_seed(shards):
    path = shards / "1-of-3" / "results.json"
    results = json.loads(path.read_text().replace('"seed": 3', '"seed": 4'))
    del results["digest"]
    path.write_text(json.dumps(results))


def flip_a_digit(shards):
    path = shards / "1-of-3" / "results.json"
    path.write_text(path.read_text().replace('"seed": 3', '"seed": 4'))


def empty(shards):
    shutil.rmtree(shards)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lose, "missing: 2/3"),
        (leave_unmeasured, "not finished: 3/3"),
        (leave_incomplete, "not finished: 1/3"),
        (double, "more than once: 2/3 in .*2-of-3 and .*copy"),
        (damage, "1-of-3 is no part of an evaluation, or damaged"),
        (swap_progress, "2-of-3 is no part.*are of two evaluations"),
        (name_an_unknown_setting, "1-of-3 is no.*damaged.*settings: colour"),
        (list_the_settings, "2-of-3 is no.*damaged.*must hold a JSON object"),
        (change_the_seed, "1-of-3 is no part.*are of two evaluations"),
        (flip_a_digit, "1-of-3 is no part.*is not as it was written"),
        (empty, "There are no parts in .*shards.*with --shard"),
    ],
)
def test_parts_that_are_not_all_there_are_named(
    copied, monkeypatch, capsys, spoil, told
):
    spoil(copied / "parts" / "shards")
    line = refusal(copied / "parts", monkeypatch=monkeypatch, capsys=capsys)
    assert re.search(told, line)
    assert not (copied / "parts" / "results.json").exists()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"seed": 4}, "seed"),
        ({"num_images": 40}, "number of images, images, labels"),
        ({"attacks": "noise"}, "attacks"),
        ({"eps": "0.2"}, "attacks"),
    ],
)
def test_parts_of_another_evaluation_are_named(
    copied, monkeypatch, capsys, given, named
):
    """Beside what differs, even where the part has the missing number."""
    shards = copied / "parts" / "shards"
    shutil.rmtree(shards / "3-of-3")
    part(copied, "3/3", **{**QUICKER, "attacks": "fgsm", **given})
    line = refusal(copied / "parts", monkeypatch=monkeypatch, capsys=capsys)
    assert "Not of the same evaluation as" in line
    assert re.search(rf"3-of-3 \(.*{named}", line)


def test_what_the_parts_settled_is_not_said_anew(copied, monkeypatch, capsys):
    told = {"monkeypatch": monkeypatch, "capsys": capsys}
    line = refusal(copied / "parts", "--seed=4", **told)
    assert "The parts have settled --seed; with --merge go only" in line
    line = refusal(copied / "parts", "--shard=1/3", **told)
    assert "The parts have settled --shard" in line


def test_parts_of_another_classifier_than_is_here_are_refused(copied):
    model = keras.models.load_model(copied / "m.keras")
    model.layers[-1].bias.assign_add([1.0] * 10)
    model.save(copied / "other.keras")
    with pytest.raises(UsageError, match="something else.*weights, .*answers"):
        merge(copied / "parts", model=str(copied / "other.keras"))
    assert not (copied / "parts" / "results.json").exists()


def test_a_whole_evaluation_is_no_part_and_a_part_no_whole_one(copied):
    shard = copied / "parts" / "shards" / "1-of-3"
    with pytest.raises(UsageError, match="something else: different are"):
        part(copied, None, output=str(shard), **QUICKER)
    (copied / "whole" / "shards").mkdir()
    shutil.copytree(copied / "parts" / "shards", copied / "whole" / "shards",
                    dirs_exist_ok=True)  # fmt: skip
    merge(copied / "whole", model=str(copied / "m.keras"))


def test_a_run_keeps_its_parts_and_what_they_are_worth(tmp_path):
    save_run(tmp_path)
    for number in (1, 2):
        evaluate(EvaluateSettings(
            run_dir=str(tmp_path), attacks="fgsm", eps="0.1", num_images=20,
            audit=False, shard=f"{number}/2",
        ))  # fmt: skip
    found = merge(tmp_path)
    stored = read_results(tmp_path)
    assert stored["dataset"]["draw"] == "the first 20 of its own order"
    assert stored["checkpoint"] == "best"
    halves = [read_results(tmp_path / "shards" / f"{n}-of-2") for n in (1, 2)]
    for key in ("seconds", "num_correct", "num_images"):
        total = sum(half["results"][1][key] for half in halves)
        assert stored["results"][1][key] == pytest.approx(total)
    assert found.results[0].num_images == 20
