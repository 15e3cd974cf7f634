"""Schedules against closed forms, and which weights decay."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfgan_robust.runs.presets import resolve
from tfgan_robust.training import optimizers
from tfgan_robust.training.optimizers import LinearSchedule, spare_vectors

STEPS = 100


def rates(**settings):
    optimizer = optimizers.of_classifier(resolve(settings), STEPS)
    found = []
    for step in range(STEPS + 1):
        optimizer.iterations.assign(step)
        found.append(float(optimizer.learning_rate))
    return np.array(found)


def test_one_cycle_rises_and_falls_in_straight_lines():
    found = rates(learning_rate_schedule="onecycle", warmup=0.2)
    up, down = np.linspace(0, 0.1, 21), np.linspace(0.1, 0, 81)
    np.testing.assert_allclose(found, [*up, *down[1:]], atol=1e-7)


def test_cosine_after_a_warmup():
    found = rates(warmup=0.2, classifier_learning_rate=0.5)
    np.testing.assert_allclose(found[:21], np.linspace(0, 0.5, 21), atol=1e-6)
    steps = np.arange(81) / 80
    expected = 0.25 * (1 + np.cos(np.pi * steps))
    np.testing.assert_allclose(found[20:], expected, atol=1e-6)


@pytest.mark.parametrize("warmup", [0.0, 0.5])
def test_constant_rates_stay(warmup):
    found = rates(learning_rate_schedule="constant", warmup=warmup)
    risen = round(warmup * STEPS)
    np.testing.assert_allclose(found[risen:], 0.1, rtol=1e-6)
    assert (np.diff(found[: risen + 1]) > 0).all()


def test_without_warmup_the_first_step_has_the_whole_rate():
    for schedule in ("cosine", "onecycle"):
        found = rates(learning_rate_schedule=schedule, warmup=0.0)
        assert found[0] == pytest.approx(0.1)
        assert found[-1] == pytest.approx(0, abs=1e-7)


def test_generators_follow_the_same_schedule_from_their_own_rate():
    config = resolve(
        {"method": "gan", "generator_learning_rate": 0.4, "warmup": 0.2}
    )
    optimizer = optimizers.of_generator(config, STEPS)
    assert isinstance(optimizer, keras.optimizers.Adam)
    optimizer.iterations.assign(10)
    assert float(optimizer.learning_rate) == pytest.approx(0.2)


def test_schedules_survive_a_file():
    schedule = LinearSchedule(0.3, 10, 20)
    config = keras.optimizers.schedules.serialize(schedule)
    loaded = keras.optimizers.schedules.deserialize(config)
    for step in (0, 5, 10, 25, 30, 31):
        assert float(loaded(step)) == float(schedule(step))


def test_sgd_has_nesterovs_momentum_and_adam_its_betas():
    sgd = optimizers.of_classifier(resolve({"momentum": 0.8}), STEPS)
    assert (sgd.momentum, sgd.nesterov) == (0.8, True)
    assert sgd.weight_decay is None
    plain = optimizers.of_classifier(resolve({"momentum": 0}), STEPS)
    assert not plain.nesterov
    settings = {"optimizer": "adam", "beta_1": 0.3, "warmup": 0}
    adam = optimizers.of_classifier(resolve(settings), STEPS)
    assert isinstance(adam, keras.optimizers.Adam)
    assert adam.beta_1 == 0.3
    assert float(adam.learning_rate) == pytest.approx(1e-3)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_decoupled_decay_shrinks_kernels_alone(name):
    config = resolve(
        {
            "optimizer": name,
            "weight_decay": 0.5,
            "weight_decay_kind": "decoupled",
            "learning_rate_schedule": "constant",
            "warmup": 0,
        }
    )
    optimizer = optimizers.of_classifier(config, STEPS)
    network = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2, bias_initializer="ones")]
    )
    spare_vectors(optimizer, network)
    optimizer.build(network.trainable_variables)
    kernel, bias = (v.numpy() for v in network.trainable_variables)
    zeros = [tf.zeros_like(v) for v in network.trainable_variables]
    optimizer.apply(zeros, network.trainable_variables)
    shrunk = 1 - 0.5 * config.learning_rate
    after = [v.numpy() for v in network.trainable_variables]
    np.testing.assert_allclose(after[0], shrunk * kernel, rtol=1e-6)
    np.testing.assert_array_equal(after[1], bias)
