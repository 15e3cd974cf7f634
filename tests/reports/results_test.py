"""What an evaluation found, before it is written anywhere."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tfgan_robust
from tfgan_robust.reports.results import Evaluation, Smallest, result_name
from tfgan_robust.reports.verdicts import Check

ROOT = Path(tfgan_robust.__file__).parents[1]
IMAGE = np.zeros((2, 2, 3), np.float32)


def offered(*perturbations, count=3):
    smallest = Smallest()
    for index, size in perturbations:
        smallest.offer(
            index, size, f"attack-{size:g}", index + 1, IMAGE + size,
            count=count,
        )  # fmt: skip
    return smallest


def sizes(smallest):
    return {index: found[0] for index, found in smallest.found.items()}


@pytest.mark.parametrize(
    ("attack", "eps", "name"),
    [
        ("clean", 0.0, "clean"),
        ("fgsm", 8 / 255, "fgsm@0.0313725"),
        ("pgd-100-dlr", 0.1, "pgd-100-dlr@0.1"),
        ("noise", 1.0, "noise@1"),
    ],
)
def test_results_have_names(attack, eps, name):
    assert result_name(attack, eps) == name


def test_the_smallest_of_each_image_is_kept():
    smallest = offered((4, 0.3), (4, 0.1), (4, 0.2))
    ((size, attack, predicted, image),) = smallest.found.values()
    assert (size, attack, predicted) == (0.1, "attack-0.1", 5)
    np.testing.assert_allclose(image, 0.1)


def test_only_the_smallest_of_all_are_kept():
    smallest = offered((0, 0.5), (1, 0.2), (2, 0.4), (3, 0.3), (4, 0.6))
    assert sizes(smallest) == {1: 0.2, 2: 0.4, 3: 0.3}
    # One that is as small as the largest is no smaller.
    assert sizes(offered((0, 0.5), (1, 0.5), (2, 0.5), (3, 0.5))).keys() == {
        0, 1, 2,
    }  # fmt: skip
    # An image that is in already pushes nobody out.
    assert sizes(offered((0, 0.5), (1, 0.4), (2, 0.3), (1, 0.1))) == {
        0: 0.5,
        1: 0.1,
        2: 0.3,
    }


def test_a_random_stream_leaves_the_smallest_of_all():
    generator = np.random.default_rng(0)
    stream = [
        (int(generator.integers(40)), float(size))
        for size in generator.random(300)
    ]
    best: dict[int, float] = {}
    for index, size in stream:
        best[index] = min(size, best.get(index, size))
    expected = dict(sorted(best.items(), key=lambda item: item[1])[:10])
    assert sizes(offered(*stream, count=10)) == expected


def test_kept_images_are_copies():
    smallest, image = Smallest(), IMAGE.copy()
    smallest.offer(0, 0.1, "fgsm", 1, image)
    image[:] = 1
    assert smallest.found[0][3].max() == 0


def test_json_tells_an_audit_from_none():
    evaluation = Evaluation("net", 4, 0, 4, False, "linf")
    assert evaluation.to_json()["audit"] is None
    evaluation.audit = [Check("noise", "WARN", {"fgsm": 0.5}, "weak")]
    assert evaluation.to_json()["audit"] == [
        {
            "check": "noise",
            "verdict": "WARN",
            "figures": {"fgsm": 0.5},
            "message": "weak",
            "forward_passes": 0.0,
            "backward_passes": 0.0,
        }
    ]


def test_what_only_reads_files_needs_no_tensorflow(tmp_path):
    for name in ("tensorflow", "keras"):
        (tmp_path / f"{name}.py").write_text("raise SystemError('imported')")
    modules = (
        "cli.signals", "evaluation.options", "reports.comparison_page",
        "reports.page",
    )  # fmt: skip
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "\n".join(f"import tfgan_robust.{name}" for name in modules),
        ],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
