"""The training step: who moves, in which direction, and by how much."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import slow

from tfgan_robust.errors import UsageError
from tfgan_robust.networks.logits import attacked_logits, classifier_logits
from tfgan_robust.runs.presets import resolve
from tfgan_robust.training.build import build_model
from tfgan_robust.training.model import AdversarialClassifier

SHAPE = (16, 16, 3)
TINY = {
    "method": "gan",
    "image_size": 16, "classifier_width": 0.05, "batch_size": 8,
    "precision": "float32", "warmup": 0,
}  # fmt: skip
PAPER = {"preset": "paper", "generator_width": 0.1}
FORMULATIONS = ("x", "xz", "grad", "grad_x")


def batch(seed=0, size=8):
    generator = np.random.default_rng(seed)
    images = generator.random((size, *SHAPE), np.float32)
    return tf.constant(images), tf.constant(np.arange(size) % 10)


def build(**changes):
    config = resolve(TINY, changes)
    return build_model(config, SHAPE, 10, total_steps=100)


def objective(model):
    return {
        "method": "gan",
        "settings": model.method.settings,
        "eps": model.method.eps,
    }


def trainable(network):
    return [v.numpy() for v in network.trainable_variables]


def changed(before, network):
    pairs = zip(before, trainable(network), strict=True)
    return any(not np.array_equal(old, new) for old, new in pairs)


@pytest.mark.parametrize(
    "settings",
    [
        *slow(*({**PAPER, "formulation": f} for f in FORMULATIONS[:-1])),
        {**PAPER, "formulation": FORMULATIONS[-1]},
        {**PAPER, "batching": "separate"},
        *slow(
            {**PAPER, "attack_mode": "training", "generator_mode": "training"},
        ),
        {"generator_width": 0.1},
        {"method": "natural"},
        {"method": "fgsm"},
        {"method": "pgd", "attack_steps": 2},
    ],
    ids=str,
)
def test_every_kind_of_step_moves_all_its_networks(settings):
    model = build(**settings)
    players = [model.classifier, *model.generators]
    before = [trainable(network) for network in players]
    logs = model.train_step(batch())
    assert all(np.isfinite(float(value)) for value in logs.values())
    for weights, network in zip(before, players, strict=True):
        assert changed(weights, network)
    optimizers = [model.optimizer, *model.generator_optimizers]
    assert all(int(o.iterations.numpy()) == 1 for o in optimizers)


def test_generators_ascend_and_leave_the_classifier_alone():
    model = build(**PAPER, dropout_scale=0, generator_learning_rate=1e-2)
    # Only the generators get anywhere.
    model.optimizer.learning_rate = 0.0
    images, labels = batch()
    before = trainable(model.classifier)
    losses = []
    for _ in range(6):
        model.reset_metrics()
        logs = model.train_step((images, labels))
        generators = [logs[f"generator_{index}_loss"] for index in range(2)]
        losses.append(float(tf.reduce_mean(generators)))
    assert losses[-1] > losses[0]
    assert not changed(before, model.classifier)


def test_classifier_descends_on_both_terms():
    model = build(method="fgsm", clean_weight=1.0, dropout_scale=0)
    step = tf.function(model.train_step, autograph=False)
    first = {k: float(v) for k, v in step(batch()).items()}
    for _ in range(15):
        model.reset_metrics()
        last = {k: float(v) for k, v in step(batch()).items()}
    assert last["clean_loss"] < first["clean_loss"]
    assert last["attack_loss"] < first["attack_loss"]


def test_loss_is_equation_5_averaged_over_generators():
    model = build(
        **PAPER, dropout_scale=0, clean_weight=0.5, adversarial_weight=2.0
    )
    logs = {k: float(v) for k, v in model.train_step(batch()).items()}
    adversarial = (logs["generator_0_loss"] + logs["generator_1_loss"]) / 2
    expected = 0.5 * logs["clean_loss"] + 2.0 * adversarial
    assert logs["loss"] == pytest.approx(expected, rel=1e-5)


def test_simultaneous_gradients_are_the_alternating_ones():
    """The shared pass gives a generator the gradient of its own loss."""
    settings = {
        **PAPER,
        "dropout_scale": 0,
        "batching": "separate",
        "generator_mode": "training",
        "clean_weight": 0.7,
        "adversarial_weight": 0.3,
    }
    norms = {}
    for update in ("alternating", "simultaneous"):
        logs = build(**settings, update=update).train_step(batch())
        norms[update] = [
            float(logs[f"generator_{i}_gradient_norm"]) for i in range(2)
        ]
    np.testing.assert_allclose(
        norms["simultaneous"], norms["alternating"], rtol=1e-3
    )


def test_generator_updates_are_counted():
    model = build(**PAPER, generator_updates=3)
    model.train_step(batch())
    steps = [int(o.iterations.numpy()) for o in model.generator_optimizers]
    assert steps == [3, 3]
    assert int(model.optimizer.iterations.numpy()) == 1


@pytest.mark.parametrize("schedule", [*slow("cosine"), "onecycle"])
@pytest.mark.parametrize(
    ("settings", "updates"),
    [
        ({"update": "alternating", "generator_updates": 3}, 3),
        *slow(({"update": "alternating"}, 1)),
        ({"update": "simultaneous"}, 1),
    ],
    ids=str,
)
def test_rates_of_all_players_span_the_run(schedule, settings, updates):
    model = build(
        generator_width=0.1, warmup=0.2, learning_rate_schedule=schedule,
        classifier_learning_rate=1.0, generator_learning_rate=1.0, **settings,
    )  # fmt: skip
    model.train_step(batch())
    (generator, _), own = model.generator_optimizers, model.optimizer
    assert int(generator.iterations.numpy()) == updates
    for step in (0, 10, 20, 60, 99, 100):  # Of 100.
        own.iterations.assign(step)
        generator.iterations.assign(updates * step)
        rate = float(generator.learning_rate)
        assert rate == pytest.approx(float(own.learning_rate), abs=1e-6)


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_looking_at_the_classifier_changes_nothing(mode):
    model = build(method="natural")
    before = [v.numpy() for v in model.variables]
    logits_fn = classifier_logits(model.classifier, mode)
    assert logits_fn(batch()[0]).dtype == tf.float32
    for old, new in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, new.numpy())


def test_training_mode_uses_batch_statistics_and_dropout():
    model = build(method="natural", dropout_scale=0)
    images, _ = batch()
    logits = classifier_logits(model.classifier, "training")(images)
    expected = model.classifier(images, training=True)
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_joint_batching_normalises_over_both_domains():
    images, labels = batch()
    averages = {}
    for batching in ("joint", "separate"):
        model = build(**PAPER, batching=batching, dropout_scale=0, eps=1.0)
        model.train_step((images, labels))
        layer = model.classifier.get_layer("block1_conv1_bn")
        averages[batching] = layer.moving_variance.numpy()
    assert not np.allclose(averages["joint"], averages["separate"])


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("preset", ["paper", "recommended"])
def test_precisions(precision, preset):
    model = build(preset=preset, generator_width=0.1, precision=precision)
    logs = model.train_step(batch())
    assert np.isfinite(float(logs["loss"]))
    assert all(v.dtype == "float32" for v in model.trainable_variables)
    assert model(batch()[0]).dtype == tf.float32
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.slow
def test_loss_scale_does_not_change_the_gradient_norms():
    names = [
        f"{player}_gradient_norm"
        for player in ("classifier", "generator_0", "generator_1")
    ]
    norms = []
    for precision in ("float32", "mixed_float16"):
        model = build(generator_width=0.1, precision=precision, random_start=0)
        # The first scales overflow half precision; such steps are skipped.
        for _ in range(10):
            logs = model.train_step(batch())
            found = [float(logs[name]) for name in names]
            model.reset_metrics()
            if np.all(np.isfinite(found)):
                break
        norms.append(found)
    # A wrong scale would be off by a power of two at least; half precision
    # alone, which adds up otherwise on each processor, by less.
    assert np.all(np.abs(np.log2(np.divide(*norms))) < 0.9)


def test_one_overflow_skips_the_step_of_all_players_of_a_shared_pass():
    model = build(generator_width=0.1, precision="mixed_float16")
    players = [model.classifier, *model.generators]
    optimizers = [model.optimizer, *model.generator_optimizers]
    before = [trainable(network) for network in players]
    images, labels = batch()
    broken = tf.concat([images[:1] * np.nan, images[1:]], 0)
    model.train_step((broken, labels))
    for weights, network in zip(before, players, strict=True):
        assert not changed(weights, network)
    for _ in range(3):
        assert len({float(o.scale_loss(1.0)) for o in optimizers}) == 1
        model.train_step((images, labels))


def test_attacks_follow_float32_gradients_of_a_bfloat16_network():
    settings = {"method": "fgsm", "dropout_scale": 0}
    low = build(**settings, precision="mixed_bfloat16")
    full = build(**settings)
    full.classifier.set_weights(low.classifier.get_weights())
    images, labels = batch()
    for mode in ("inference", "training"):
        logits = attacked_logits(low.classifier, mode)(images)
        expected = classifier_logits(full.classifier, mode)(images)
        np.testing.assert_allclose(logits, expected, atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    # Generators that stay put, so that all meet the same ones.
    [*slow({**PAPER, "generator_learning_rate": 1e-12}), {"method": "natural"}],
    ids=str,
)
def test_weights_of_examples_weigh_their_loss(settings):
    settings = {**settings, "dropout_scale": 0, "weight_decay": 0}
    images, labels = batch(size=8)
    plain, ones, halves, none = (build(**settings) for _ in range(4))
    before = trainable(plain)
    plain.train_step((images, labels))
    ones.train_step((images, labels, tf.ones([8])))
    for one, two in zip(trainable(plain), trainable(ones), strict=True):
        np.testing.assert_array_equal(one, two)
    logs = halves.train_step((images, labels, tf.fill([8], 0.5)))
    expected = build(**settings).train_step((images, labels))
    for name in ("classifier_gradient_norm", "loss"):
        share = 0.5 if name.endswith("norm") else 1.0
        assert float(logs[name]) == pytest.approx(
            share * float(expected[name]), rel=1e-3
        )
    logs = none.train_step((images, labels, tf.zeros([8])))
    assert float(logs["classifier_gradient_norm"]) == 0
    assert len(before) == len(trainable(none))


@pytest.mark.slow
def test_fit_takes_weights_of_examples_and_of_classes():
    images, labels = (part.numpy() for part in batch(size=8))
    for weights in (
        {"sample_weight": np.ones(8, np.float32)},
        {"class_weight": dict.fromkeys(range(10), 1.0)},
    ):
        model = build(method="natural")
        model.fit(images, labels, batch_size=4, verbose=0, **weights)


@pytest.mark.parametrize("kind", ["arrays", "data set"])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda images: 255 * images, "divide them by 255"),
        (lambda images: 2 * images - 1, "pixels from -"),
        (lambda images: images.astype(np.uint8), "uint8; divide"),
    ],
)
def test_fit_refuses_images_of_another_range(change, told, kind):
    images, labels = (part.numpy() for part in batch(size=8))
    data = [change(images), labels]
    if kind == "data set":
        data = [tf.data.Dataset.from_tensors(tuple(data))]
    model = build(method="natural")
    before = trainable(model)
    with pytest.raises(UsageError, match=told):
        model.fit(*data, verbose=0)
    assert not changed(before, model)


def test_fit_refuses_labels_of_another_kind():
    images, labels = (part.numpy() for part in batch(size=8))
    model = build(method="natural")
    for other, told in (
        (labels[:, None], "labels\\[:, 0\\]"),
        (np.eye(10)[labels], "argmax"),
        (labels.astype(np.float32), "astype"),
        (labels + 5, "from 5 to 12"),
    ):
        with pytest.raises(UsageError, match=told):
            model.fit(images, other, verbose=0)
        for pixels in (images, (images, labels)):  # as with their places
            data = tf.data.Dataset.from_tensors((pixels, other))
            with pytest.raises(UsageError, match=told):
                model.fit(data, verbose=0)


@pytest.mark.parametrize("kind", [np.uint8, np.int32])
def test_fit_takes_labels_as_any_integers(kind):
    images, labels = (part.numpy() for part in batch(size=8))
    first, second = build(method="fgsm"), build(method="fgsm")
    first.fit(images, labels, shuffle=False, verbose=0)
    second.fit(images, labels.astype(kind), shuffle=False, verbose=0)
    for one, two in zip(
        first.trained.get_weights(), second.trained.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, two)


def test_a_last_batch_may_have_fewer_images_than_there_are_generators():
    images, labels = (part.numpy() for part in batch(size=9))
    model = build(generator_width=0.1)
    assert model.method.num_generators > 1
    model.fit(images, labels, batch_size=8, verbose=0)
    assert int(model.optimizer.iterations) == 2
    assert all(np.isfinite(w).all() for w in model.trained.get_weights())


def test_a_method_that_remembers_asks_for_places():
    images, labels = (part.numpy() for part in batch(size=8))
    config = resolve(TINY, {"method": "start", "start_from": "remembered"})
    model = build_model(config, SHAPE, 10, num_images=8)
    with pytest.raises(UsageError, match="with_places=True"):
        model.fit(images, labels, verbose=0)


def test_what_is_not_compiled_perturbs_within_the_whole_radius(tmp_path):
    model = build(method="fgsm", eps_warmup=0.5)
    images, labels = batch()
    assert float(model.method.radius) < 0.1 * model.method.eps
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    assert float(loaded.method.radius) == pytest.approx(model.method.eps)
    (moved,) = loaded.method.perturb(images, labels, tf.constant([0, 1]))
    assert float(tf.reduce_max(tf.abs(moved - images))) > 0


def test_weight_perturbation_tells_of_the_weights_that_are_trained():
    def told(length):
        start = {"weight_perturbation_start": 0} if length else {}
        model = build(
            method="fgsm", weight_perturbation=length,
            classifier_learning_rate=1e-12, **start,
        )  # fmt: skip
        return {k: float(v) for k, v in model.train_step(batch()).items()}

    plain, moved = told(0.0), told(0.3)
    for name in ("attack_loss", "attack_accuracy"):
        assert moved[name] == pytest.approx(plain[name], rel=1e-4)
    assert moved["loss"] > 1.05 * plain["loss"]


@pytest.mark.parametrize("length", [0.0, 0.01])
def test_losses_of_a_users_model_are_descended(length):
    logs = []
    at_once = {"weight_perturbation_start": 0} if length else {}
    for decay in (None, 0.5):
        model = build(
            method="natural", dropout_scale=0, weight_perturbation=length,
            **at_once,
        )  # fmt: skip
        model.classifier.layers[-1].kernel_regularizer = (
            decay and keras.regularizers.L2(decay)
        )
        kernel = model.classifier.layers[-1].kernel
        kernel.regularizer = model.classifier.layers[-1].kernel_regularizer
        model.compile(keras.optimizers.SGD(1.0))
        before = kernel.numpy()
        model.train_step(batch())
        logs.append(kernel.numpy() - before)
    # The gradient of 0.5 w^2 is w.
    np.testing.assert_allclose(logs[1], logs[0] - before, atol=1e-5)


def test_fit_in_a_notebook_and_test_step():
    model = build(generator_width=0.1, clean_weight=0.5)
    data = tf.data.Dataset.from_tensors(batch()).repeat()
    history = model.fit(data, steps_per_epoch=2, epochs=2, verbose=0)
    assert len(history.history["loss"]) == 2
    # What fit shows at the end of an epoch is what the epoch measured.
    assert all(loss > 0 for loss in history.history["clean_loss"])
    figures = model.evaluate(
        tf.data.Dataset.from_tensors(batch()), verbose=0, return_dict=True
    )
    images, labels = batch()
    predicted = np.argmax(model.predict(images, verbose=0), -1)
    assert figures["clean_accuracy"] == pytest.approx(
        np.mean(predicted == labels.numpy())
    )


@pytest.mark.parametrize(
    "settings",
    [
        {**PAPER, "formulation": "xz"},
        *slow(
            {"generator_width": 0.1},
            {"method": "natural", "dropout_scale": 1.0},
        ),
    ],
    ids=str,
)
def test_keras_file_loses_nothing(settings, tmp_path):
    model = build(**settings)
    for seed in range(2):
        model.train_step(batch(seed))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, AdversarialClassifier)
    assert loaded.method.settings == model.method.settings
    assert loaded.method.eps == model.method.eps

    def everything(m):
        optimizers = [m.optimizer, *m.generator_optimizers]
        variables = [v for o in optimizers for v in o.variables]
        return [v.numpy() for v in [*m.variables, *variables]]

    for old, new in zip(everything(model), everything(loaded), strict=True):
        np.testing.assert_array_equal(old, new)
    # The proof of the pudding: both go on alike, noise included.
    for m in (model, loaded):
        m.reset_metrics()
    first, second = (m.train_step(batch(9)) for m in (model, loaded))
    for name in first:
        assert float(first[name]) == pytest.approx(
            float(second[name]), rel=1e-4
        )


def test_files_of_older_versions_hold_all_settings_of_the_run():
    model = build(generator_width=0.1, formulation="xz", eps=0.25, seed=5)
    stored = model.get_config()
    method, eps, seed = (stored.pop(n) for n in ("method", "eps", "seed"))
    stored["config"] = {
        **stored.pop("settings"),
        "method": method,
        "eps": eps,
        "seed": seed,
        "epochs": 100,
        "a setting that was removed": 1,
    }
    loaded = AdversarialClassifier.from_config(stored)
    assert loaded.get_config() == model.get_config()
    assert loaded.method.eps == 0.25
    assert loaded.noise_seed.state.numpy()[0] == 5


def test_same_seed_same_weights():
    first, second = build(generator_width=0.1), build(generator_width=0.1)
    other = build(generator_width=0.1, seed=1)
    for a, b in zip(first.variables, second.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert any(
        not np.array_equal(a.numpy(), b.numpy())
        for a, b in zip(
            first.trainable_variables, other.trainable_variables, strict=True
        )
    )


def test_the_two_generators_start_apart():
    model = build(**PAPER)
    pairs = zip(*(trainable(g) for g in model.generators), strict=True)
    assert any(not np.array_equal(a, b) for a, b in pairs)


def test_wrong_numbers_of_generators_and_optimizers():
    model = build(**PAPER)
    with pytest.raises(UsageError, match="needs 2 generators"):
        AdversarialClassifier(model.classifier, [], **objective(model))
    with pytest.raises(UsageError, match="own optimizer"):
        model.compile(keras.optimizers.Adam(), [])


@pytest.fixture(scope="module")
def two_replicas():
    """One for all tests: a second one in the same process would reuse the
    names of the first one's collectives, which remember their shapes."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("update", "mode"),
    [
        ("alternating", "inference"),
        ("alternating", "training"),
        ("simultaneous", "training"),
    ],
)
def test_two_replicas_train_like_one(update, mode, two_replicas):
    """Global batch, loss scale and batch statistics do not depend on how
    many devices share the work.

    Formulation x, plain descent and smooth layers: a sign, Adam's division,
    or a ReLU close to zero turns rounding noise into whole steps (with ReLU,
    noise of 1e-8 on the weights moves one replica 1e-3 away from itself).
    """
    settings = {
        **PAPER,
        "formulation": "x",
        "dropout_scale": 0,
        "update": update,
        "generator_mode": mode,
    }
    strategies = [tf.distribute.get_strategy(), two_replicas]
    *weights, (one, two) = zip(
        *(_five_steps(strategy, settings) for strategy in strategies),
        strict=True,
    )
    weights = list(zip(*weights, strict=True))
    for name, figure in one.items():
        assert two[name] == pytest.approx(figure, rel=1e-3), name
    moved = max(np.max(np.abs(w - s)) for s, w in zip(*weights[0], strict=True))
    assert moved > 1e-3
    for one, two in zip(weights[0][1], weights[1][1], strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


@pytest.mark.parametrize(
    ("method", "steps"),
    [
        ("fgsm", 1),
        *slow(("pgd", 2), ("trades", 0)),
    ],
)
def test_attacks_in_training_mode_span_replicas(method, steps, two_replicas):
    given = {"method": method, "attack_mode": "training", "dropout_scale": 0}
    if steps:
        given |= {"random_start": 0, "attack_steps": steps}
    if method == "fgsm":
        del given["attack_steps"]
    images, labels = batch(size=8)
    with two_replicas.scope():
        model = build(**given)
    data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(8)

    @tf.function(autograph=False)
    def attack(batches):
        each = two_replicas.run(
            lambda part: model.method.perturb(*part, tf.constant([0, 0]))[0],
            args=(next(batches),),
        )
        return two_replicas.gather(each, 0)

    found = attack(iter(two_replicas.experimental_distribute_dataset(data)))
    assert found.shape == images.shape
    if steps:
        # Of the statistics of all, as on one device; rounding flips few signs.
        (alone,) = build(**given).method.perturb(images, labels, [0, 0])
        assert np.mean(np.abs(found - alone) < 1e-4) > 0.98


def test_replicas_draw_noise_of_their_own(two_replicas):
    with two_replicas.scope():
        model = build(method="natural")
    seeds = two_replicas.run(lambda: model._next_seed())
    one, other = two_replicas.experimental_local_results(seeds)
    assert not np.array_equal(one, other)


def _five_steps(strategy, settings):
    """Returns the weights before and after, and mean figures of the steps."""
    with strategy.scope():
        rough = build(**settings)
        model = AdversarialClassifier(
            _smooth(rough.classifier),
            [_smooth(generator) for generator in rough.generators],
            **objective(rough),
        )
        model.compile(
            keras.optimizers.SGD(1e-2),
            [keras.optimizers.SGD(1e-2) for _ in model.generators],
        )
    before = trainable(model)
    data = tf.data.Dataset.from_tensor_slices(batch(size=40)).batch(8)
    batches = iter(strategy.experimental_distribute_dataset(data))

    @tf.function(autograph=False)
    def step(batches):
        strategy.run(model.train_step, args=(next(batches),))

    for _ in range(5):
        step(batches)
    figures = {k: float(t.result()) for k, t in model.trackers.items()}
    return before, trainable(model), figures


def _smooth(network):
    """The same network with the same weights, without kinks."""

    def smooth_layer(layer):
        if isinstance(layer, keras.layers.ReLU):
            return keras.layers.Activation("softplus")
        if isinstance(layer, keras.layers.MaxPooling2D):
            return keras.layers.AveragePooling2D(layer.pool_size)
        return type(layer).from_config(layer.get_config())

    copy = keras.models.clone_model(network, clone_function=smooth_layer)
    copy.set_weights(network.get_weights())
    return copy
