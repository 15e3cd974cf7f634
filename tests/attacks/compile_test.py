"""Attacks as graphs: traced once, and the same as without."""

import numpy as np
import pytest
import tensorflow as tf
from toys import linear_logits

from tfgan_robust.attacks.compile import compile_attack, resolve_jit_compile
from tfgan_robust.attacks.pgd import pgd
from tfgan_robust.errors import UsageError


def batch(seed=0):
    images = np.random.default_rng(seed).random((8, 4, 4, 3), np.float32)
    return tf.constant(images), tf.constant(np.arange(8) % 2)


def test_a_compiled_attack_is_traced_once_for_all_radii_and_batches():
    calls = []

    def counted(images):
        calls.append(1)
        return linear_logits(images)

    attack = compile_attack(pgd, counted, jit_compile=False)
    numbers = {"eps": 0.1, "num_steps": 3, "step_size": 0.05, "seed": (0, 0)}
    attack(*batch(seed=0), **numbers)
    traced = len(calls)
    assert traced > 0
    for index, eps in enumerate((0.2, tf.constant(0.3), np.float32(0.4))):
        changed = {
            "eps": eps,
            "num_steps": 5 + index,
            "step_size": 0.01 * index,
            "seed": (index, 7),
        }
        attack(*batch(seed=index), **changed)
    assert len(calls) == traced


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize(
    "numbers",
    [{"num_steps": 10, "seed": (3, 4)}, {"num_steps": 1, "step_size": 0.03}],
    ids=["pgd", "fgsm"],
)
def test_compiled_attacks_equal_eager_ones(jit_compile, numbers):
    # A linear model: no sign can flip, whatever fusing does to rounding, and
    # all starts, which XLA draws otherwise, end in one corner.
    images, labels = batch()
    numbers = {"eps": 0.03, **numbers}
    attack = compile_attack(pgd, linear_logits, jit_compile=jit_compile)
    np.testing.assert_allclose(
        attack(images, labels, **numbers),
        pgd(linear_logits, images, labels, **numbers),
        rtol=0,
        atol=1e-6,
    )


@pytest.mark.parametrize(
    ("choice", "gpus", "deterministic", "expected"),
    [
        ("true", 0, False, True),
        ("true", 1, True, True),
        ("false", 1, False, False),
        ("auto", 0, False, False),
        ("auto", 1, False, True),
        ("auto", 1, True, False),
    ],
)
def test_xla_is_chosen_on_a_gpu_that_may_round(
    monkeypatch, choice, gpus, deterministic, expected
):
    monkeypatch.setattr(
        tf.config, "list_physical_devices", lambda kind: ["GPU:0"] * gpus
    )
    resolved = resolve_jit_compile(choice, deterministic=deterministic)
    assert resolved is expected


def test_other_choices_are_refused():
    with pytest.raises(UsageError, match="`jit_compile` must.*'maybe'"):
        resolve_jit_compile("maybe")
