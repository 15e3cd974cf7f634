"""CONTRIBUTING's recipes: each part from a file outside the package."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import pytest
from served import make_run, shallow_classifier

import tfgan_robust

ROOT = Path(tfgan_robust.__file__).parents[1]
# Runs several command lines in one process, since each would load TensorFlow.
DRIVER = """
import json, runpy, sys
for command, *arguments in json.loads(sys.argv[1]):
    sys.argv = [command, *arguments]
    sys.modules.pop(f"tfgan_robust.{command}", None)
    print(">", command, *arguments, flush=True)
    try:
        runpy.run_module(f"tfgan_robust.{command}", run_name="__main__")
    except SystemExit as end:
        print("exit code", end.code or 0, flush=True)
"""
SMALL = [
    "--train_images=64", "--validation_images=32", "--eval_images=32",
    "--batch_size=32", "--epochs=1", "--report_images=32",
    "--report_attacks=fgsm",
]  # fmt: skip
TINY = ["--dataset=digits", "--classifier_width=0.05", *SMALL]


@pytest.fixture
def recipe(tmp_path):
    """Writes the module of a recipe; returns what runs commands with it."""

    def write(title):
        text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
        section = text.partition(f"\n## Add {title}\n")[2].partition("\n## ")[0]
        (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
        (tmp_path / "mine.py").write_text(code)
        return run

    def run(*commands):
        """Returns what each of the commands printed, errors included."""
        lines = [[name, "--import=mine", *rest] for name, *rest in commands]
        done = subprocess.run(
            [sys.executable, "-c", DRIVER, json.dumps(lines)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout
        parts = re.split(r"^> .*\n", done.stdout, flags=re.MULTILINE)[1:]
        assert len(parts) == len(commands), done.stdout
        return parts

    return write


@pytest.fixture
def model(tmp_path):
    """A file of a small classifier of digits, which nobody trained."""
    keras.utils.set_random_seed(0)
    keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Conv2D(4, 5, 4),
            keras.layers.ReLU(),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    ).save(tmp_path / "model.keras")
    return ["--model=model.keras", "--dataset=digits", "--num_images=32"]


def read(path):
    return json.loads(path.read_text("utf-8"))


def flat(text):
    return " ".join(text.split())


def assert_well(printed):
    assert printed.endswith("exit code 0\n"), printed


def assert_refused(printed, *fragments):
    assert printed.endswith("exit code 2\n"), printed
    for fragment in fragments:
        assert fragment in printed


@pytest.mark.slow
def test_an_attack(recipe, model, tmp_path):
    measure = ["evaluate", *model, "--audit=false", "--eps=0.2", "--output=o"]
    helped, done, refused, wrong = recipe("an attack")(
        ["evaluate", "--help"],
        [*measure, "--attacks=corners-3,noise"],
        [*measure, "--attacks=corners-0"],
        [*measure, "--attacks=corners", "--norm=l2"],
    )
    assert "corners[-<number>]" in flat(helped)
    assert_well(done)
    assert re.search(r"corners-3 +\|", done)
    assert_refused(refused, "from 1 to", "corners-0")
    assert_refused(wrong, "corners", "l2")
    attacked = read(tmp_path / "o" / "results.json")["results"][1]
    assert (attacked["attack"], attacked["num_images"]) == ("corners-3", 32)
    (stage,) = attacked["stages"]
    assert stage["settings"] == {"num_corners": 3}
    assert attacked["forward_passes"] <= 3
    assert "corners-3" in (tmp_path / "o" / "evaluation.md").read_text("utf-8")


@pytest.mark.slow
def test_a_formulation(recipe, tmp_path):
    train = ["train", *TINY, "--method=gan", "--generator_width=0.1"]
    helped, done, refused = recipe("a formulation")(
        ["train", "--help"],
        [*train, "--formulation=grad_xz", "--latent_channels=2"],
        [*train, "--formulation=grad_xy"],
    )
    assert "x, xz, grad, grad_x, grad_xz" in flat(helped)
    assert_well(done)
    assert re.search(r"grad_xz +\| fgsm", done)
    assert_refused(refused, "--formulation", "grad_xz")
    run = tmp_path / "runs" / "digits-grad_xz-0"
    assert read(run / "config.json")["settings"]["formulation"] == "grad_xz"
    generator = keras.models.load_model(run / "best" / "generator_0.keras")
    assert generator.input_shape[-1] == 3 + 3 + 2


@pytest.mark.slow
def test_a_training_method(recipe, tmp_path):
    train = ["train", *TINY]
    helped, done, again, refused, foreign = recipe("a training method")(
        ["train", "--help"],
        [*train, "--method=guided", "--guidance=2"],
        [*train, "--method=guided", "--guidance=3"],
        [*train, "--method=guided", "--guidance=0"],
        [*train, "--method=pgd", "--guidance=2"],
    )
    assert "guided adversarial training (arXiv:2011.14969)" in flat(helped)
    assert "--guidance" in helped
    assert_well(done)
    assert re.search(r"guided +\| fgsm", done)
    assert_refused(again, "guidance: 2.0 there, 3.0 here")
    assert_refused(refused, "--guidance must be greater than 0")
    assert_refused(foreign, "goes with method guided")
    run = tmp_path / "runs" / "digits-guided-0"
    assert read(run / "config.json")["settings"]["guidance"] == 2
    header = (run / "metrics.csv").read_text("utf-8").splitlines()[0]
    assert {"clean_loss", "attack_loss"} <= set(header.split(","))


@pytest.mark.slow
def test_a_network(recipe, tmp_path):
    train = ["train", "--dataset=digits", "--method=fgsm", *SMALL]
    helped, done, exported, refused, foreign = recipe("a network")(
        ["train", "--help"],
        [*train, "--classifier=mixer", "--mixer_channels=8", "--run_dir=R"],
        ["export", "--run_dir=R", "--output=served"],
        [*train, "--classifier=mixer", "--mixer_channels=0"],
        [*train, "--classifier=mixer", "--classifier_width=2"],
    )
    assert "mixer (a small mixer of patches)" in flat(helped)
    assert "--mixer_channels" in helped
    assert_well(done)
    assert_well(exported)
    assert_refused(refused, "--mixer_channels must be at least 1")
    assert_refused(foreign, "--classifier_width", "goes with classifier vgg")
    settings = read(tmp_path / "R" / "config.json")["settings"]
    assert settings["classifier"] == "mixer"
    assert settings["mixer_channels"] == 8
    trained = keras.models.load_model(tmp_path / "R/best/classifier.keras")
    assert trained.layers[1].filters == 8


def mobilenet():
    return keras.applications.MobileNetV2(
        input_shape=(32, 32, 3),
        weights=None,
        classes=10,
        classifier_activation=None,
        alpha=0.35,
    )


def normalised_by_layer():
    """Has LayerNormalization and no BatchNormalization."""
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            keras.layers.Conv2D(8, 4, 4),
            keras.layers.LayerNormalization(),
            keras.layers.Activation("gelu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(10),
        ]
    )


def losses_of(run):
    """Returns the loss of each epoch, by its last step."""
    with (run / "metrics.csv").open(newline="") as file:
        return {r["step"]: float(r["loss"]) for r in csv.DictReader(file)}


@pytest.mark.slow
@pytest.mark.parametrize("build", [mobilenet, normalised_by_layer])
def test_a_network_of_a_file(recipe, tmp_path, build):
    run = tmp_path / "R"
    build().save(tmp_path / "mine.keras")
    train = [
        "train", "--dataset=digits", "--image_size=32", "--method=fgsm",
        *SMALL, "--epochs=2", "--classifier=mine.keras", "--run_dir=R",
    ]  # fmt: skip
    measure = ["evaluate", "--attacks=fgsm", "--eps=0.2", "--num_images=16"]
    commands = recipe("a network")
    done, foreign = commands(train, [*train, "--dropout_scale=1"])
    assert_well(done)
    assert_refused(foreign, "--dropout_scale", "classifier=mine.keras")
    losses = losses_of(run)
    # As if it had been stopped in the second epoch.
    for file in (run / "checkpoints").glob("ckpt-4.*"):
        file.unlink()
    resumed, measured, exported, served = commands(
        train,
        [
            *measure, "--run_dir=R", "--audit_images=8", "--undefended=none",
            "--output=measured",
        ],
        ["export", "--run_dir=R", "--output=served"],
        [
            *measure, "--model=served/1", "--dataset=digits",
            "--image_size=32", "--audit=false", "--output=again",
        ],
    )  # fmt: skip
    for printed in (resumed, measured, exported, served):
        assert_well(printed)
    assert "resuming at step 2 of 4" in resumed
    assert losses_of(run) == pytest.approx(losses, rel=1e-3)
    start, trained = (
        keras.models.load_model(tmp_path / path)
        for path in ("mine.keras", "R/best/classifier.keras")
    )
    assert [v.path for v in trained.weights] == [v.path for v in start.weights]
    ours, theirs = (
        read(tmp_path / folder / "results.json")
        for folder in ("measured", "again")
    )
    messages = {check["message"] for check in ours["audit"]}
    idle = {m for m in messages if m.startswith("not checked")}
    idle.discard("not checked without an undefended network: give `undefended`")
    # Of a network that two steps have hardly moved.
    flat_loss = "not checked: the loss is too flat to tell from "
    assert all(m.startswith(flat_loss) for m in idle)
    assert len(messages) > 6
    for one, other in zip(ours["results"], theirs["results"], strict=True):
        assert one["num_correct"] == other["num_correct"]


@pytest.mark.slow
def test_a_data_set(recipe, tmp_path):
    train = [
        "train", "--dataset=stripes", "--method=natural",
        "--classifier_width=0.1",
    ]  # fmt: skip
    helped, done, refused = recipe("a data set")(
        ["train", "--help"],
        [*train, "--run_dir=R", "--report_attacks=fgsm"],
        [*train, "--dataset=strips"],
    )
    assert "stripes (noisy stripes)" in flat(helped)
    assert_well(done)
    assert re.search(r"clean \| 0\.05 +\| 0\.1 ", done)
    assert_refused(refused, "--dataset", "stripes")
    described = read(tmp_path / "R" / "config.json")
    assert described["dataset"]["class_names"] == ["lying", "standing"]
    assert described["settings"]["eps"] == 0.1
    results = read(tmp_path / "R" / "results.json")
    assert results["dataset"]["source"] == "noisy stripes"


@pytest.mark.slow
def test_an_audit_check(recipe, model, tmp_path):
    (done,) = recipe("an audit check")(
        [
            "evaluate", *model, "--attacks=noise", "--eps=0.2", "--output=o",
            "--audit_images=8", "--undefended=none",
        ],
    )  # fmt: skip
    assert_well(done)
    assert "one_level" in done
    checks = read(tmp_path / "o" / "results.json")["audit"]
    (check,) = (check for check in checks if check["check"] == "one_level")
    assert check["verdict"] in ("PASS", "WARN")
    assert set(check["figures"]) == {"lost"}
    assert "one_level" in (tmp_path / "o" / "evaluation.md").read_text("utf-8")


@pytest.mark.slow
def test_an_export_format(recipe, tmp_path):
    openvino = pytest.importorskip("openvino", reason="extra `dev`")
    make_run(tmp_path / "R", shallow_classifier())
    helped, done, refused = recipe("an export format")(
        ["export", "--help"],
        ["export", "--run_dir=R", "--output=o", "--format=openvino"],
        ["export", "--run_dir=R", "--output=p", "--format=tensorrt"],
    )
    assert "openvino: for OpenVINO" in flat(helped)
    assert_well(done)
    assert "its logits differ from Keras' by at most" in done
    assert_refused(refused, "--format", "openvino", "tensorrt")
    folder = tmp_path / "o" / "1"
    assert openvino.Core().read_model(folder / "model.xml").input("images")
    assert read(folder / "tfgan_robust.json")["format"] == "openvino"
    assert (folder / "MODEL_CARD.md").is_file()
