"""What an evaluation can be asked for, and what is refused at once."""

import pytest

from tfgan_robust.attacks.plan import parse_attack
from tfgan_robust.errors import UsageError
from tfgan_robust.evaluation.options import EvaluateSettings

MODEL = {"model": "m.keras", "dataset": "digits"}


def test_attacks_take_the_parameters_of_the_command_line():
    options = EvaluateSettings(
        **MODEL,
        attacks="fgsm, pgd-7",
        step_size="0.01",
        restarts=3,
        momentum=0.5,
        protocol="final",
    )
    assert options.plans == [
        parse_attack("fgsm", protocol="final"),
        parse_attack(
            "pgd-7",
            step_size=0.01,
            num_restarts=3,
            momentum=0.5,
            protocol="final",
        ),
    ]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "either `run_dir` or `model`"),
        ({**MODEL, "run_dir": "r"}, "either `run_dir` or `model`"),
        ({"model": "m.keras"}, "`model` needs `dataset`"),
        ({**MODEL, "split": "validation"}, "Only a run has validation images"),
        ({**MODEL, "split": "training"}, "Only a run has training images"),
        ({"run_dir": "r", "dataset": "digits"}, "dataset=digits"),
        ({"run_dir": "r", "image_size": 32}, "image_size=32"),
        ({**MODEL, "restarts": 2, "random_start": False}, "restarts=2"),
        ({**MODEL, "restarts": 0}, "restarts"),
        ({**MODEL, "eps": "0"}, "eps=0"),
        ({**MODEL, "attacks": "cw"}, "autoattack.*Received: cw"),
        ({**MODEL, "attacks": ""}, "attacks"),
        ({**MODEL, "attacks": "fgsm,"}, "Received: nothing"),
        ({**MODEL, "attacks": "square", "norm": "l2"}, "L-infinity norm only"),
        ({**MODEL, "step_sizes": "0,1"}, "step_sizes.*0,1"),
        ({**MODEL, "step_sizes": "a"}, "step_sizes.*a"),
        ({**MODEL, "step_sizes": "1", "step_size": "1"}, "either `step_size`"),
        ({**MODEL, "input_range": "1"}, "input_range"),
        ({"run_dir": "r", "input_range": "-1,1"}, "input_range=-1,1"),
        ({**MODEL, "momentum": -0.1}, "momentum"),
        ({**MODEL, "audit_images": 1}, "audit_images"),
        ({**MODEL, "dataset": "mnist"}, "cifar10, digits, folder.*mnist"),
        ({**MODEL, "outputs": "scores"}, "logits, probabilities.*scores"),
        ({**MODEL, "protocol": "best"}, "final, worst.*best"),
        ({**MODEL, "jit_compile": "yes"}, "auto, true, false.*yes"),
        ({"run_dir": "r", "checkpoint": "first"}, "best, last.*first"),
        ({**MODEL, "num_images": 0}, "num_images"),
        ({**MODEL, "batch_size": 0}, "batch_size"),
        ({**MODEL, "step_size": "0"}, "step_size=0"),
        ({**MODEL, "step_size": "nan"}, "step_size=nan"),
        ({**MODEL, "seed": -1}, "seed"),
    ],
    ids=str,
)
def test_bad_settings_are_refused_before_anything_is_loaded(given, told):
    with pytest.raises(UsageError, match=told):
        EvaluateSettings(**given)
