"""What benchmarks say of their figures; their times are not looked at."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from saved import save_classifier

from experiments import benchmark_attacks as attacks
from experiments import benchmark_training as training
from experiments.harness import steps
from tfgan_robust.data.loading import load_test
from tfgan_robust.networks.devices import describe_devices

ROOT = Path(__file__).parents[2]


@pytest.fixture
def benchmark(tmp_path, monkeypatch):
    """Attacks a network of digits, where no other library is installed."""

    def version(package):
        assert package == "tensorflow"
        return "2.0"

    monkeypatch.setattr(attacks, "version", version)
    digits = load_test("digits", image_size=16)
    monkeypatch.setattr(attacks, "load_test", lambda *a, **more: digits)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    model = tmp_path / "classifier.keras"
    save_classifier(model)
    file = tmp_path / "attacks.json"
    shutil.copyfile(ROOT / "experiments" / "attacks.json", file)
    words = [
        "benchmark_attacks", f"--model={model}", "--peers=",
        "--attacks=pgd-2", "--num_images=20", f"--output={file}",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", words)

    def run():
        attacks.main()
        return json.loads(file.read_text("utf-8"))

    return run


def test_attacks_are_timed_without_other_libraries(
    benchmark, monkeypatch, capsys
):
    before = json.loads((ROOT / "experiments" / "attacks.json").read_text())
    rows = benchmark()
    assert rows[: len(before)] == before
    ours = rows[len(before) :]
    assert [row["by"].split(", ")[1] for row in ours] == [
        "final", "worst", "worst",
    ]  # fmt: skip
    assert {row["device"] for row in ours} == {describe_devices()}
    assert not {"torch", "foolbox"} & ours[0].keys()
    assert capsys.readouterr().out.count("| pgd-2 |") == 3
    # What is there already is shown, on this processor alone.
    assert benchmark() == rows
    assert capsys.readouterr().out.count("| pgd-2 |") == 3
    monkeypatch.setattr(attacks, "describe_devices", lambda: "another CPU")
    assert len(benchmark()) == len(rows) + 3


def test_each_library_has_its_versions():
    assert attacks.PACKAGES.keys() == attacks.PEERS.keys()


def test_steps_are_told_beside_fgsm_of_the_same_objective():
    seconds = {
        ("natural", "as trained"): 0.5,
        ("fgsm", "as trained"): 1.0,
        ("fgsm", "both terms"): 1.5,
        ("gan", "both terms"): 3.0,
        ("fgsm, PyTorch float32", "as trained"): 2.0,
    }
    lines = list(training.table(seconds))[2:]
    assert [line.strip("| ").split(" | ")[2:] for line in lines] == [
        ["0.500", "1.00", "0.50"],
        ["1.000", "2.00", "1.00"],
        ["1.500", "3.00", "1.00"],
        ["3.000", "6.00", "2.00"],
        ["2.000", "4.00", "2.00"],
    ]


def test_both_precisions_stand_beside_those_of_pytorch(monkeypatch, capsys):
    wanted = {}

    def time_steps(builders, steps):
        wanted.update(builders)
        return dict.fromkeys(builders, 1.0)

    monkeypatch.setattr(training, "time_steps", time_steps)
    monkeypatch.setattr(training, "find_spec", lambda name: True)
    training.print_steps({}, 1)
    for name in training.IN_TORCH:
        for precision, policy in (
            ("float32", "float32"), ("bfloat16", "mixed_bfloat16"),
        ):  # fmt: skip
            assert (f"{name}, PyTorch {precision}", "as trained") in wanted
            (settings,) = wanted[f"{name}, {precision}", "as trained"].args
            assert settings["precision"] == policy
    assert "| pgd-7, bfloat16 | as trained |" in capsys.readouterr().out


def test_steps_are_timed_in_turns_by_their_shortest(monkeypatch, capsys):
    built, timed = [], []

    def build(name):
        built.append(name)
        return name

    def shortest(name, steps):
        timed.append(name)
        return {"slow": 5.0, "fast": 1.0}[name] + 1 / len(timed)

    monkeypatch.setattr(steps, "shortest", shortest)
    builders = {name: lambda n=name: build(n) for name in ("slow", "fast")}
    found = steps.time_steps(builders, 2)
    assert built == ["slow", "fast"] * steps.BUILDS
    turns = steps.BUILDS * steps.ROUNDS
    assert timed == ["slow", "fast"] * turns
    assert found == {
        "slow": 5 + 1 / (2 * turns - 1),
        "fast": 1 + 1 / (2 * turns),
    }
    assert "fast: 1.0" in capsys.readouterr().out
