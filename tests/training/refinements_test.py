"""What may be added to any method, against what it stands for."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import all_slow_but, slow

from tfgan_robust.data.augmentation import Places
from tfgan_robust.errors import UsageError
from tfgan_robust.methods.settings import NaturalSettings
from tfgan_robust.networks.losses import cross_entropy
from tfgan_robust.runs.presets import resolve
from tfgan_robust.training.build import build_model
from tfgan_robust.training.model import AdversarialClassifier
from tfgan_robust.training.players import Player, descend
from tfgan_robust.training.refinements import Refinements
from tfgan_robust.training.weights import is_kernel, steps_up

SHAPE = (16, 16, 3)
TINY = {
    "method": "gan",
    "image_size": 16, "classifier_width": 0.05, "batch_size": 8,
    "generator_width": 0.1, "precision": "float32",
}  # fmt: skip


def batch(size=8):
    images = np.random.default_rng(0).random((size, *SHAPE), np.float32)
    return tf.constant(images), tf.constant(np.arange(size) % 10)


def build(total_steps=100, num_images=0, **settings):
    plain = {k: v for k, v in TINY.items() if k != "generator_width"}
    built = settings.get("start_from", "generator") == "generator"
    if built and settings.get("method", "gan") in ("gan", "start"):
        plain = TINY
    return build_model(
        resolve(plain, settings), SHAPE, 10,
        total_steps=total_steps, num_images=num_images,
    )  # fmt: skip


def natural(network, optimizer, **refinements):
    """A model of natural training with refinements alone."""
    model = AdversarialClassifier(
        network,
        method="natural",
        settings=NaturalSettings(clean_weight=1.0),
        eps=0.1,
        refinements=Refinements(**refinements),
    )
    model.compile(optimizer)
    return model


@keras.saving.register_keras_serializable(package="tests")
class Placed(keras.layers.Layer):
    """Adds what it has learned of each place, and has weights to no end."""

    def build(self, shape):
        self.places = keras.layers.Embedding(shape[1], shape[2])
        self.places.build(None)
        self.idle = keras.layers.Dense(3)
        self.idle.build(shape)
        self.built = True

    def call(self, inputs):
        return inputs + self.places(tf.range(tf.shape(inputs)[1]))


def placed():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.Reshape((16, 48)),
            Placed(),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )


@pytest.mark.parametrize("refinements", [{}, {"weight_perturbation": 0.01}])
def test_any_networks_weights_learn_and_idle_ones_stay(refinements):
    network = placed()
    model = natural(network, keras.optimizers.SGD(0.1), **refinements)
    variables = network.trainable_variables
    before = [v.numpy() for v in variables]
    model.train_step(batch())
    moved = [
        v.path
        for old, v in zip(before, variables, strict=True)
        if not np.array_equal(old, v)
    ]
    idle = [v.path for v in network.layers[1].idle.trainable_variables]
    assert moved == [v.path for v in variables if v.path not in idle]
    assert (len(moved), len(idle)) == (3, 2)


def linear(images=SHAPE, hidden=()):
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense(10, bias_initializer="ones")
    return keras.Sequential(
        [keras.Input(images), keras.layers.Flatten(), *hidden, dense]
    )


def gradients(network, images, labels, at=None):
    """Of the mean cross-entropy, at other weights if given."""
    kept = network.get_weights()
    if at is not None:
        network.set_weights(at)
    with tf.GradientTape() as tape:
        logits = network(images, training=True)
        loss = tf.reduce_mean(cross_entropy(labels, logits))
    found = tape.gradient(loss, [v.value for v in network.trainable_variables])
    network.set_weights(kept)
    return [each.numpy() for each in found]


def test_l2_pulls_kernels_alone_towards_zero():
    images, labels = batch()
    network = linear()
    before, plain = network.get_weights(), gradients(network, images, labels)
    model = natural(network, keras.optimizers.SGD(1.0), l2=0.25)
    logs = model.train_step((images, labels))
    kernel, bias = network.get_weights()
    np.testing.assert_allclose(
        kernel, before[0] - plain[0] - 0.25 * before[0], atol=1e-5
    )
    np.testing.assert_allclose(bias, before[1] - plain[1], atol=1e-6)
    expected = np.sqrt(
        np.square(plain[0] + 0.25 * before[0]).sum() + np.square(plain[1]).sum()
    )
    norm = float(logs["classifier_gradient_norm"])
    assert norm == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("units", [(), (7,)], ids=["one kernel", "two"])
def test_weights_descend_from_where_the_loss_is_worst(units):
    """Equations 8 and 10 of arXiv:2004.05884, layer by layer, in NumPy."""
    images, labels = batch()
    hidden = [keras.layers.Dense(n, activation="tanh") for n in units]
    network = linear(hidden=hidden)
    before, plain = network.get_weights(), gradients(network, images, labels)
    gamma = 0.1
    worst = [
        # Biases stay.
        weights
        + gamma * np.linalg.norm(weights) * slope / np.linalg.norm(slope)
        if weights.ndim > 1
        else weights
        for weights, slope in zip(before, plain, strict=True)
    ]
    there = gradients(network, images, labels, at=worst)
    model = natural(
        network, keras.optimizers.SGD(1.0), weight_perturbation=gamma
    )
    logs = model.train_step((images, labels))
    for found, old, step in zip(
        network.get_weights(), before, there, strict=True
    ):
        np.testing.assert_allclose(found, old - step, atol=1e-5)
    network.set_weights(worst)
    expected = tf.reduce_mean(cross_entropy(labels, network(images)))
    assert float(logs["loss"]) == pytest.approx(float(expected), rel=1e-5)


def test_kernels_alone_decay_and_are_perturbed_in_the_vit():
    """Biases of attention and of positions have two axes."""
    images, labels = batch()
    settings = {
        "method": "natural", "classifier": "vit", "averaging": 0,
        "weight_decay_kind": "decoupled", "weight_decay": 0.5,
        "learning_rate_schedule": "constant", "warmup": 0,
        "classifier_learning_rate": 1e-2,
    }  # fmt: skip
    model = build(**settings)
    network = model.classifier
    variables = network.trainable_variables
    kernels = [is_kernel(variable) for variable in variables]
    assert {v.name for v in variables if is_kernel(v)} == {"kernel"}
    assert sum(kernels) == 2 + 1 + 6 * (4 + 2) + 1
    biases = [v for v in variables if v.name == "bias" and len(v.shape) > 1]
    assert len(biases) == 1 + 3 * 6
    with tf.GradientTape() as tape:
        loss = cross_entropy(labels, network(images, training=True))
    steps = steps_up(network, tape, loss, 0.1)
    assert [np.any(step) for step in steps] == kernels
    before = [v.numpy() for v in variables]
    model.optimizer.apply([tf.zeros_like(v) for v in variables], variables)
    shrunk = [
        not np.array_equal(old, new)
        for old, new in zip(before, variables, strict=True)
    ]
    assert shrunk == kernels
    l2 = Player("", network, keras.optimizers.SGD(1.0), l2=0.5)
    l2.optimizer.build(variables)
    before = [v.numpy() for v in variables]
    with tf.GradientTape() as tape:
        loss = 0.0 * tf.add_n([tf.reduce_sum(v.value) for v in variables])
    descend(tape, [loss], [l2])
    for old, new, kernel in zip(before, variables, kernels, strict=True):
        np.testing.assert_allclose(new, old / 2 if kernel else old, rtol=1e-6)


def test_weight_perturbation_waits_for_its_start():
    images, labels = batch()
    found = []
    for settings in ({}, {"weight_perturbation": 0.1}):
        network = linear()
        start = {"weight_perturbation_start": 2} if settings else {}
        model = natural(network, keras.optimizers.SGD(0.1), **settings, **start)
        steps = []
        for _ in range(3):
            model.train_step((images, labels))
            steps.append(network.get_weights()[0])
        found.append(steps)
    plain, perturbed = found
    for step in range(2):
        np.testing.assert_allclose(perturbed[step], plain[step], atol=1e-6)
    assert np.abs(perturbed[2] - plain[2]).max() > 1e-4


def test_statistics_are_those_of_the_weights_themselves():
    """The pass with moved weights moves no average of a batch."""
    images, labels = batch()
    averages = []
    moved = {"weight_perturbation": 0.5, "weight_perturbation_start": 0}
    for given in ({}, moved):
        model = build(
            method="natural", averaging=0, classifier_learning_rate=1e-9,
            **given,
        )  # fmt: skip
        model.train_step((images, labels))
        averages.append(
            [v.numpy() for v in model.classifier.non_trainable_variables]
        )
    for one, other in zip(*averages, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["nfgsm", *slow("start", "trades", "gan")])
def test_every_method_trains_with_all_refinements(method):
    model = build(
        method=method, weight_perturbation=0.01, label_smoothing=0.1,
        eps_warmup=0.5, weight_decay=1e-3, formulation="x",
    ) if method in ("gan", "start") else build(
        method=method, weight_perturbation=0.01, label_smoothing=0.1,
        eps_warmup=0.5, weight_decay=1e-3,
    )  # fmt: skip
    step = tf.function(model.train_step, autograph=False)
    networks = [model.classifier, model.trained, *model.generators]
    before = [[v.numpy() for v in n.trainable_variables] for n in networks]
    for _ in range(2):
        logs = step(batch())
    assert all(np.isfinite(float(value)) for value in logs.values())
    for weights, network in zip(before, networks, strict=True):
        assert any(
            not np.array_equal(old, new)
            for old, new in zip(
                weights, network.trainable_variables, strict=True
            )
        )


def test_the_average_is_that_of_the_weights():
    images, labels = batch()
    network = linear()
    model = natural(network, keras.optimizers.SGD(0.5), averaging=0.4)
    assert model.trained is model.averaged is not network
    expected = network.get_weights()
    for momentum in (1 / 5, 2 / 6, 0.4, 0.4):
        model.train_step((images, labels))
        expected = [
            momentum * mean + (1 - momentum) * new
            for mean, new in zip(expected, network.get_weights(), strict=True)
        ]
    for mean, found in zip(expected, model.averaged.get_weights(), strict=True):
        np.testing.assert_allclose(found, mean, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(model(images), model.averaged(images))
    assert not np.allclose(model(images), network(images))


def test_without_averaging_training_results_in_the_classifier():
    model = natural(linear(), keras.optimizers.SGD(0.1))
    assert model.trained is model.classifier


def test_statistics_of_the_average_are_recomputed():
    model = build(method="natural", averaging=0.9, batchnorm_momentum=0.99)
    images, labels = batch(32)
    model.train_step((images, labels))
    parts = [(images[n : n + 8], labels[n : n + 8]) for n in range(0, 32, 8)]
    weights = [v.numpy() for v in model.averaged.trainable_variables]
    for _ in range(2):  # The second time from the graph of the first.
        model.recompute_statistics(parts)
        layers = model.averaged.layers
        first = model.averaged.get_layer("block1_conv1_bn")
        convolved = model.averaged.get_layer("block1_conv1")(images)
        expected = [
            np.asarray(part).mean((0, 1, 2)) for part in np.split(convolved, 4)
        ]
        np.testing.assert_allclose(
            first.moving_mean, np.mean(expected, 0), rtol=1e-3, atol=1e-5
        )
        variances = [
            np.asarray(part).var((0, 1, 2)) for part in np.split(convolved, 4)
        ]
        np.testing.assert_allclose(
            first.moving_variance, np.mean(variances, 0), rtol=1e-3
        )
    for layer in layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            assert layer.momentum == 0.99
    for old, new in zip(
        weights, model.averaged.trainable_variables, strict=True
    ):
        np.testing.assert_array_equal(old, new)


class Batches(keras.utils.PyDataset):
    """Four batches, with weights of examples."""

    def __init__(self, images, labels):
        super().__init__()
        self.images, self.labels = images, labels

    def __len__(self):
        return 4

    def __getitem__(self, index):
        own = slice(8 * index, 8 * index + 8)
        return self.images[own], self.labels[own], np.ones(8, np.float32)


FITTED = {
    "arrays": lambda images, labels: {"x": images, "y": labels},
    "tensors": lambda images, labels: {
        "x": tf.constant(images), "y": tf.constant(labels),
    },
    "float64": lambda images, labels: {
        "x": images.astype(np.float64), "y": labels,
    },
    "part of arrays": lambda images, labels: {
        "x": np.concatenate([images, 0 * images]), "y": np.tile(labels, 2),
        "validation_split": 0.5,
    },
    "endless data set": lambda images, labels: {
        "x": tf.data.Dataset.from_tensors((images, labels)).repeat(),
        "steps_per_epoch": 2,
    },
    "batches": lambda images, labels: {"x": Batches(images, labels)},
    "generator": lambda images, labels: {
        "x": ((images, labels) for _ in range(100)),
        "steps_per_epoch": 2,
    },
}  # fmt: skip


@pytest.mark.parametrize(
    "kind", all_slow_but(["arrays", "batches", "generator"], FITTED)
)
def test_fit_recomputes_the_statistics_of_the_average(kind):
    model = build(method="natural", averaging=0.9, batchnorm_momentum=0.99)
    images = np.random.default_rng(0).random((32, *SHAPE), np.float32)
    given = FITTED[kind](images, np.arange(32) % 10)
    if isinstance(given["x"], np.ndarray | tf.Tensor):
        given["batch_size"] = 8
    history = model.fit(**given, verbose=0)
    assert len(history.history["loss"]) == 1
    convolved = model.averaged.get_layer("block1_conv1")(images)
    layer = model.averaged.get_layer("block1_conv1_bn")
    # All images are looked at, in batches of one size.
    np.testing.assert_allclose(
        layer.moving_mean, np.mean(convolved, (0, 1, 2)), rtol=1e-3, atol=1e-5
    )
    np.testing.assert_allclose(
        layer.moving_variance, np.var(convolved, (0, 1, 2)), rtol=0.05
    )


def test_without_an_average_or_batches_statistics_stay():
    images, labels = batch()
    for averaging, batches in ((0, [(images, labels)]), (0.9, [])):
        model = build(method="natural", averaging=averaging)
        before = [v.numpy() for v in model.variables]
        model.recompute_statistics(batches)
        for old, new in zip(before, model.variables, strict=True):
            np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("shares", [*slow({}), {"clean_share": 0.5}], ids=str)
@pytest.mark.parametrize("batching", ["joint", "separate"])
def test_recomputed_statistics_are_of_all_passes(batching, shares):
    model = build(
        method="gan", averaging=0.9, batching=batching, eps=0.5,
        generator_assignment="all", clean_weight=0.5, **shares,
    )  # fmt: skip
    images, labels = batch()
    parts = [images[:4], images[4:]]
    model.recompute_statistics([(part, labels[:4]) for part in parts])
    convolve = model.averaged.get_layer("block1_conv1")
    means, variances = [], []
    for count, part in enumerate(parts):
        perturbed = model.method.perturb(
            part, labels[:4], tf.constant([0, count])
        )
        clean = part[: round(4 * shares.get("clean_share", 1))]
        passes = [clean, *perturbed]
        if batching == "joint":
            passes = [tf.concat(passes, 0)]
        seen = [np.asarray(convolve(each)) for each in passes]
        means.append(np.mean([each.mean((0, 1, 2)) for each in seen], 0))
        variances.append(np.mean([each.var((0, 1, 2)) for each in seen], 0))
    layer = model.averaged.get_layer("block1_conv1_bn")
    for found, expected in (
        (layer.moving_mean, means),
        (layer.moving_variance, variances),
    ):
        np.testing.assert_allclose(
            found, np.mean(expected, 0), rtol=1e-3, atol=1e-5
        )


def test_refinements_are_those_of_the_configuration():
    config = resolve(
        {
            "method": "nfgsm", "weight_decay": 1e-3, "label_smoothing": 0.1,
            "eps_warmup": 0.25, "averaging": 0.9, "weight_perturbation": 0.01,
            "weight_perturbation_start": 0.5,
        }
    )  # fmt: skip
    expected = Refinements(
        l2=1e-3, label_smoothing=0.1, eps_warmup=25, averaging=0.9,
        weight_perturbation=0.01, weight_perturbation_start=50,
    )  # fmt: skip
    assert Refinements.of(config, 100) == expected
    decoupled = config.replace(weight_decay_kind="decoupled")
    assert Refinements.of(decoupled, 100).l2 == 0


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "pgd"},
        {"method": "trades"},
        {"method": "start", "formulation": "x", "clip_to_ball": True},
        {"method": "gan", "random_start": 0, "gradient_skip": 10},
        {"method": "gan", "random_start": 1},
    ],
    ids=str,
)
def test_every_method_keeps_to_the_radius_of_now(settings):
    model = build(eps_warmup=0.5, total_steps=8, eps=0.2, **settings)
    images, labels = batch()
    longest = []
    for step in (0, 8):
        model.optimizer.iterations.assign(step)
        batches = model.method.perturb(images, labels, [0, 0])
        longest += [float(tf.reduce_max(tf.abs(b - images))) for b in batches]
    half = len(longest) // 2
    assert max(longest[:half]) <= 0.05 + 1e-6
    assert min(longest[half:]) > 0.15


def test_the_radius_rises_in_a_straight_line():
    model = build(method="fgsm", eps_warmup=0.5, total_steps=8, eps=0.2)
    assert model.method.eps == 0.2
    found = []
    for _ in range(6):
        found.append(float(model.method.radius))
        model.train_step(batch())
    np.testing.assert_allclose(
        found, [0.05, 0.1, 0.15, 0.2, 0.2, 0.2], rtol=1e-5
    )
    longest = {}
    for step in (0, 8):
        model.optimizer.iterations.assign(step)
        images, labels = batch()
        (perturbed,) = model.method.perturb(images, labels, [0, 0])
        longest[step] = float(tf.reduce_max(tf.abs(perturbed - images)))
    assert longest[0] == pytest.approx(0.05, rel=1e-4)
    assert longest[8] == pytest.approx(0.2, rel=1e-4)


def test_remembered_gradients_are_those_of_the_last_visit():
    model = build(
        method="start", formulation="grad", num_images=20, start_noise=0.0,
        start_size=1e-6, dropout_scale=0,
    )  # fmt: skip
    images, labels = batch()
    zeros = tf.zeros([8, 1], tf.int32)
    places = Places(tf.range(3, 11), zeros, zeros, zeros > 0)
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = model.classifier(images, training=False)
        loss = tf.reduce_sum(cross_entropy(labels, logits))
    expected = tape.gradient(loss, images).numpy()
    before = model.memory.bits.numpy()
    model.train_step(((images, places), labels))
    signs = model.memory.read(places).numpy()
    clear = np.abs(expected) > 1e-4 * np.abs(expected).max()
    agree = signs[clear] == np.sign(expected)[clear]
    assert agree.mean() > 0.99
    after = model.memory.bits.numpy()
    np.testing.assert_array_equal(after[:3], before[:3])
    np.testing.assert_array_equal(after[11:], before[11:])


def test_recomputed_statistics_are_of_starts_from_what_is_remembered():
    model = build(
        method="start", start_from="remembered", averaging=0.9, num_images=8,
        start_size=4.0, start_noise=0.0, eps=0.2,
    )  # fmt: skip
    images, labels = batch()
    still = tf.zeros([8, 1], tf.int32)
    places = Places(tf.range(8), still, still, still > 0)
    first = model.averaged.get_layer("block1_conv1_bn")
    convolve = model.averaged.get_layer("block1_conv1")
    for sign in (1.0, -1.0):
        remembered = sign * tf.ones_like(images)
        model.memory.write(places, remembered)
        model.recompute_statistics([((images, places), labels)])
        (perturbed,) = model.method.perturb(
            images, labels, tf.constant([0, 0]), remembered
        )
        np.testing.assert_allclose(
            first.moving_mean,
            np.asarray(convolve(perturbed)).mean((0, 1, 2)),
            rtol=1e-3,
            atol=1e-5,
        )


def test_methods_that_remember_need_to_know_how_many_images_there_are():
    with pytest.raises(UsageError, match="how many training images"):
        build(method="start", formulation="grad")


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "nfgsm", "eps_warmup": 0.5, "label_smoothing": 0.1},
        {"method": "start", "start_from": "universal"},
        *slow(
            {"method": "natural", "weight_decay_kind": "decoupled"},
            {"method": "start", "formulation": "grad_x"},
        ),
    ],
    ids=str,
)
def test_keras_files_keep_refinements_averages_and_memory(settings, tmp_path):
    model = build(num_images=20, **settings)
    images, labels = batch()
    if model.method.remembers:
        zeros = tf.zeros([8, 1], tf.int32)
        images = (images, Places(tf.range(8), zeros, zeros, zeros > 0))
    for _ in range(2):
        model.train_step((images, labels))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.refinements == model.refinements
    for m in (model, loaded):
        m.reset_metrics()
        m.train_step((images, labels))
    for one, other in zip(model.variables, loaded.variables, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_averaging_says_what_cannot_be_copied():
    class Own(keras.layers.Layer):
        def call(self, images):
            return images

        def get_config(self):
            raise NotImplementedError

    network = keras.Sequential(
        [keras.Input(SHAPE), Own(), keras.layers.Flatten(),
         keras.layers.Dense(10)]
    )  # fmt: skip
    with pytest.raises(UsageError, match="set averaging=0"):
        natural(network, keras.optimizers.SGD(0.1), averaging=0.9)
