"""What TensorBoard itself serves of runs."""

import io
import json
import re
import subprocess
import sys
import time
import types
import urllib.parse
import urllib.request
from pathlib import Path

import browser
import PIL.Image
import pytest

from tfgan_robust.evaluation.options import EvaluateSettings
from tfgan_robust.evaluation.session import evaluate
from tfgan_robust.runs.directory import RunDirectory
from tfgan_robust.runs.presets import resolve
from tfgan_robust.training.session import train_all
from tfgan_robust.training.tensorboard_files import tag, write_results

TINY = {
    "dataset": "digits",
    "classifier_width": 0.05,
    "precision": "float32",
    "batch_size": 64,
    "train_images": 128,
    "eval_images": 32,
    "epochs": 2,
    "eval_every": 1,
}
# Of a sheet: eight images in three rows, beside titles and above words.
WIDTH, HEIGHT = 84 + 8 * 64, 3 * (64 + 16)
RUNS = {
    "gan": {
        "method": "gan",
        "eps": 8 / 255,
        "generator_width": 0.1,
        "clean_weight": 0.5,
    },
    "fgsm": {"method": "fgsm", "eps": 0.1},
}


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("clean_accuracy", "accuracy/clean"),
        ("val_clean_accuracy", "accuracy/clean"),
        ("val_pgd_accuracy", "accuracy/pgd"),
        ("loss", "loss/total"),
        ("attack_loss", "loss/attack"),
        ("generator_0_gradient_norm", "gradient_norm/generator_0"),
        ("attack_perturbation_linf", "perturbation/attack_linf"),
        ("generator_difference", "generator_difference"),
    ],
)
def test_what_is_of_one_kind_stands_together(name, called):
    assert tag(name) == called


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two runs, trained and measured."""
    folder = tmp_path_factory.mktemp("runs")
    for name, own in RUNS.items():
        run = RunDirectory(folder / name)
        assert train_all([(run, resolve({**TINY, **own}))]) == 0
        evaluate(
            EvaluateSettings(
                run_dir=str(run.path),
                attacks="fgsm",
                eps="0.1",
                num_images=20,
                audit=False,
            )
        )
    return folder


@pytest.fixture(scope="module")
def address(folder):
    """Where TensorBoard's server is, which reads the runs."""
    server = subprocess.Popen(
        [
            sys.executable, "-m", "tensorboard.main", f"--logdir={folder}",
            "--port=0", "--host=127.0.0.1", "--load_fast=false",
            "--reload_interval=1",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    address = None
    for line in server.stderr:
        if found := re.search(r"http://[\d.]+:\d+/", line):
            address = found[0]
            break
    assert address is not None

    try:
        # It reads files in a thread of its own.
        for _ in range(600):
            known = set(fetch(f"{address}data/runs"))
            if {f"{name}/logs/test" for name in RUNS} <= known:
                break
            time.sleep(0.1)
        yield address
    finally:
        server.kill()
        server.communicate()


def fetch(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        url, data, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        content = answer.read()
    kind = answer.headers["Content-Type"]
    return json.loads(content) if "json" in kind else content


@pytest.fixture
def ask(address):
    """A function that asks the server."""

    def ask(path, body=None, **query):
        return fetch(
            f"{address}data/{path}?{urllib.parse.urlencode(query)}", body
        )

    return ask


def values(ask, run, name):
    found = ask("plugin/scalars/scalars", run=run, tag=name)
    return [(step, value) for _, step, value in found]


@pytest.mark.slow
def test_training_validation_and_test_share_a_chart(ask):
    tags = ask("plugin/scalars/tags")
    for group in ("train", "validation", "test"):
        assert "accuracy/clean" in tags[f"gan/logs/{group}"]
    steps = [
        step for step, _ in values(ask, "gan/logs/train", "accuracy/clean")
    ]
    validated = values(ask, "gan/logs/validation", "accuracy/clean")
    assert [step for step, _ in validated] == [2, 4]
    assert set(steps) >= {2, 4}
    ((step, _),) = values(ask, "gan/logs/test", "accuracy/clean")
    assert step == 4


@pytest.mark.slow
@pytest.mark.skipif(browser.CHROMIUM is None, reason="there is no chromium")
def test_a_browser_shows_one_chart_for_all_three(address, tmp_path):
    done = subprocess.run(
        [
            browser.CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu",
            f"--user-data-dir={tmp_path}", "--window-size=1500,1300",
            "--virtual-time-budget=60000", "--dump-dom",
            f"{address}#timeseries",
        ],
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    cards = re.findall(
        r"<scalar-card\b.*?</scalar-card>", done.stdout, re.DOTALL
    )
    shown = [card for card in cards if "accuracy/clean" in card]
    assert len(shown) == 1
    for group in ("train", "validation", "test"):
        assert f"gan/logs/{group}" in shown[0]


@pytest.mark.slow
@pytest.mark.skipif(browser.CHROMIUM is None, reason="there is no chromium")
@pytest.mark.parametrize(
    ("tab", "wanted"),
    [
        ("timeseries", ["inference_mode", "fgsm at 0.1", "gan/logs/test"]),
        ("images", ["perturbed/attack", f"image of {WIDTH} x {HEIGHT}"]),
        ("text", ["configuration", '"method": "gan"', '"method": "fgsm"']),
        ("hparams", ["formulation", "test.accuracy/fgsm at 0.1", "grad_x"]),
    ],
)
def test_a_browser_shows_each_tab(address, tmp_path, tab, wanted):
    picture = tmp_path / f"{tab}.png"
    shown = browser.look(
        f"{address}#{tab}", tmp_path / "profile", picture, wanted
    )
    assert [words for words in wanted if words not in shown] == []
    with PIL.Image.open(picture) as image:
        # Neither blank nor a line of an error.
        assert len(image.convert("L").getcolors()) > 50


@pytest.mark.slow
def test_what_a_person_watches_is_there(ask):
    tags = ask("plugin/scalars/tags")
    assert {
        "loss/total",
        "accuracy/attack",
        "gradient_norm/classifier",
        "learning_rate/generator_0",
        "perturbation/attack_linf",
        "images_per_second",
    } <= set(tags["gan/logs/train"])
    assert {
        "accuracy/pgd",
        "success/fgsm",
        "success/generator_0",
        "generator_0_saturation",
        "generator_difference",
    } <= set(tags["gan/logs/validation"])


@pytest.mark.slow
def test_the_settings_are_there_as_text(ask):
    (event,) = ask("plugin/text/text", run="fgsm/logs", tag="configuration")
    assert "&quot;method&quot;: &quot;fgsm&quot;" in event["text"] or (
        '"method": "fgsm"' in event["text"]
    )


@pytest.mark.slow
def test_images_have_captions(ask):
    tags = ask("plugin/images/tags")
    shown = tags["gan/logs/validation"]["perturbed/attack"]
    assert "red where it is wrong" in shown["description"]
    assert "-8/255 (black) by 0 (grey) to 8/255" in shown["description"]
    first, second = ask(
        "plugin/images/images",
        run="gan/logs/validation",
        tag="perturbed/attack",
        sample=0,
    )
    assert (first["step"], second["step"]) == (2, 4)
    query = dict(urllib.parse.parse_qsl(first["query"]))
    png = ask("plugin/images/individualImage", **query)
    assert PIL.Image.open(io.BytesIO(png)).size == (WIDTH, HEIGHT)


def hparams(ask):
    return ask("plugin/hparams/experiment", {"experimentName": ""})


@pytest.mark.slow
def test_settings_of_several_runs_are_hparams(ask):
    infos = {info["name"]: info for info in hparams(ask)["hparamInfos"]}
    assert {"method", "eps", "batch_size", "classifier"} <= set(infos)
    # One method's only.
    assert "formulation" in infos
    domain = infos["method"]["domainDiscrete"]
    assert sorted(domain) == ["fgsm", "gan"]


@pytest.mark.slow
def test_final_accuracies_are_metrics_of_the_runs(ask, folder):
    wanted = [
        {"group": "test", "tag": f"accuracy/{name}"}
        for name in ("clean", "fgsm at 0.1", "worst case at 0.1")
    ]
    offered = [each["name"] for each in hparams(ask)["metricInfos"]]
    for name in wanted:
        assert name in offered
    answer = ask(
        "plugin/hparams/session_groups",
        {
            "experimentName": "",
            "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_RUNNING"],
            "colParams": [{"metric": name} for name in wanted],
            "startIndex": 0,
            "sliceSize": 10,
        },
    )
    groups = {g["hparams"]["method"]: g for g in answer["sessionGroups"]}
    assert set(groups) == set(RUNS)
    for run, group in groups.items():
        results = json.loads((folder / run / "results.json").read_text())
        stored = {r["attack"]: r["accuracy"] for r in results["results"]}
        shown = {
            value["name"]["tag"]: value["value"]
            for value in group["metricValues"]
            if value["name"]["group"] == "test"
        }
        assert shown["accuracy/clean"] == pytest.approx(stored["clean"])
        assert shown["accuracy/fgsm at 0.1"] == pytest.approx(stored["fgsm"])
        assert "accuracy/worst case at 0.1" in shown


@pytest.mark.slow
def test_a_later_evaluation_takes_the_place_of_an_earlier_one(folder):
    logs = RunDirectory(folder / "fgsm").logs
    evaluate(
        EvaluateSettings(
            run_dir=str(folder / "fgsm"),
            attacks="fgsm",
            eps="0.1",
            num_images=20,
            audit=False,
        )
    )
    assert len(list((logs / "test").iterdir())) == 1


def test_an_earlier_one_may_be_gone_already(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    monkeypatch.setattr(Path, "glob", lambda *_: iter([gone]))
    evaluation = types.SimpleNamespace(results=[], pointwise=[], norm="linf")
    write_results(tmp_path, evaluation, 0)
    assert len(list((tmp_path / "test").iterdir())) == 1
