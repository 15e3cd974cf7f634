"""What is trained: the network that is named, read from a file, or given."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import slow
from keras import layers

from tfgan_robust.audit.audit import audit_classifier
from tfgan_robust.classifiers.loading import load_classifier, load_float32
from tfgan_robust.errors import UsageError
from tfgan_robust.evaluation.measure import evaluate_classifier
from tfgan_robust.networks.registry import NETWORKS, Network
from tfgan_robust.runs.presets import resolve
from tfgan_robust.serving import saved_model
from tfgan_robust.training.build import build_model
from tfgan_robust.training.checkpoints import RunState, save_networks

SHAPE = (16, 16, 3)
SMALL = {
    "method": "gan",
    "image_size": 16,
    "batch_size": 8,
    "eval_images": 8,
    "warmup": 0.0,  # The first step, often the only one, is to move weights.
}


def build(mine=None, shape=SHAPE, **settings):
    config = resolve(SMALL, settings)
    return build_model(config, shape, 10, total_steps=4, classifier=mine)


def batch(shape=SHAPE, size=8):
    images = np.random.default_rng(0).random((size, *shape), np.float32)
    return tf.constant(images), tf.constant(np.arange(size) % 10)


def normalised_by_layer(shape=SHAPE):
    """Has LayerNormalization and no BatchNormalization."""
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Conv2D(8, 4, 4),
            layers.LayerNormalization(),
            layers.Activation("gelu"),
            layers.Dropout(0.1),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10),
        ],
        name="mine",
    )


def mobilenet():
    return keras.applications.MobileNetV2(
        input_shape=(32, 32, 3),
        weights=None,
        classes=10,
        classifier_activation=None,
        alpha=0.35,
    )


THIRD_PARTIES = [
    (normalised_by_layer, SHAPE),
    pytest.param(mobilenet, (32, 32, 3), marks=pytest.mark.slow),
]


def weights(model):
    networks = [model.classifier, *model.generators]
    return [np.array(v) for network in networks for v in network.variables]


def assert_equal(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


def assert_moved(before, after):
    assert any(np.any(a != b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("classifier", ["vgg", *slow("resnet18", "vit")])
def test_weights_are_a_function_of_the_seed(classifier):
    settings = {
        "classifier": classifier,
        "classifier_width": 0.05,
        "generator_width": 0.1,
    }
    first = weights(build(seed=3, **settings))
    np.random.random(7)
    assert_equal(first, weights(build(seed=3, **settings)))
    assert_moved(first, weights(build(seed=4, **settings)))


@pytest.fixture
def registered(monkeypatch):
    """Adds a network for the time of a test."""

    def register(builder):
        monkeypatch.setitem(NETWORKS._rows, "mine", Network(builder, "mine"))
        return {"classifier": "mine", "method": "natural"}

    return register


class Subclassed(keras.Model):
    def __init__(self, num_classes):
        super().__init__()
        self.head = layers.Dense(num_classes)

    def call(self, images):
        return self.head(keras.ops.mean(images, (1, 2)))


def test_a_registered_builder_may_return_any_model(registered):
    settings = registered(lambda shape, classes: Subclassed(classes))
    with pytest.raises(UsageError, match="needs a copy.*set averaging=0"):
        build(**settings)
    model = build(**settings, averaging=0)
    assert isinstance(model.classifier, Subclassed)
    before = weights(model)
    model.train_step(batch())
    assert_moved(before, weights(model))


def test_a_builder_of_something_else_is_refused(registered):
    settings = registered(lambda shape, classes: layers.Dense(classes))
    with pytest.raises(UsageError, match="mine must return a keras.Model.*De"):
        build(**settings)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore:You are saving")
def test_a_files_weights_are_the_start(tmp_path, suffix):
    path = tmp_path / f"mine{suffix}"
    source = normalised_by_layer()
    source.save(path)
    model = build(classifier=str(path), generator_width=0.1)
    assert_equal(source.get_weights(), model.classifier.get_weights())
    assert len(model.generators) == 2


def test_an_absent_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match="absent.keras cannot be loaded"):
        build(classifier=str(tmp_path / "absent.keras"))


def test_a_given_model_is_trained_itself():
    mine = normalised_by_layer()
    start = mine.get_weights()
    model = build(mine, method="natural")
    assert model.classifier is mine
    assert_equal(start, mine.get_weights())
    model.train_step(batch())
    assert_moved(start, mine.get_weights())


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["onecycle", "cosine", "constant"])
def test_without_a_number_of_steps_all_is_as_in_mid_run(schedule):
    config = resolve(
        {k: v for k, v in SMALL.items() if k != "warmup"},
        {
            "generator_width": 0.1, "learning_rate_schedule": schedule,
            "eps_warmup": 1.0, "weight_perturbation": 0.01,
            "weight_perturbation_start": 1.0,
            "update": "alternating", "generator_updates": 2,
        },
    )  # fmt: skip
    model = build_model(config, SHAPE, 10)
    assert float(model.method.radius) == pytest.approx(config.eps)
    assert model.refinements.weight_perturbation_start == 0
    networks = [model.classifier, *model.generators]
    for _ in range(3):
        before = [
            [v.numpy() for v in network.trainable_variables]
            for network in networks
        ]
        model.train_step(batch())
        for old, network in zip(before, networks, strict=True):
            assert_moved(old, network.trainable_variables)
    optimizers = [model.optimizer, *model.generator_optimizers]
    np.testing.assert_allclose(
        [float(o.learning_rate) for o in optimizers],
        [config.learning_rate, *[config.generator_learning_rate] * 2],
        rtol=1e-6,
    )


def test_models_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match="16.*`image_size=8` resizes them"):
        build(normalised_by_layer((8, 8, 3)))
    with pytest.raises(UsageError, match="must answer with logits"):
        build(keras.Sequential([normalised_by_layer(), layers.Softmax()]))


def test_precision_is_that_of_networks_that_are_built_here():
    settings = {"precision": "mixed_bfloat16", "generator_width": 0.5}
    model = build(normalised_by_layer(), **settings)
    (policies, built) = (
        {layer.compute_dtype for layer in network.layers}
        for network in (model.classifier, model.generators[0])
    )
    assert policies == {"float32"} and "bfloat16" in built
    images, _ = batch()
    np.testing.assert_array_equal(
        model.averaged(images), model.classifier(images)
    )
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize("stored", ["float32", *slow("mixed_bfloat16")])
@pytest.mark.parametrize(
    "precision", ["mixed_bfloat16", *slow("float32", "mixed_float16")]
)
def test_a_file_is_trained_in_the_precision_of_the_run(
    tmp_path, precision, stored
):
    """As if its network were built here, whatever it was saved in."""
    built = {
        name: build(precision=name, method="natural").classifier
        for name in (precision, stored)
    }
    path = tmp_path / "mine.keras"
    built[stored].save(path)
    model = build(classifier=str(path), precision=precision, method="natural")
    assert [layer.compute_dtype for layer in model.classifier.layers] == [
        layer.compute_dtype for layer in built[precision].layers
    ]
    images, _ = batch()
    exact = load_float32(path)(images)
    rounded = model.classifier(images)
    assert rounded.dtype == tf.float32
    off = np.max(np.abs(rounded - exact))
    assert off < 1e-6 if precision == "float32" else 1e-5 < off < 0.02
    assert np.isfinite(float(model.train_step(batch())["loss"]))


@keras.saving.register_keras_serializable(package="build_test")
class Opaque(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.flatten, self.dense = layers.Flatten(), layers.Dense(10)

    def call(self, images):
        return self.dense(self.flatten(images))


def opaque():
    model = Opaque()
    model(np.zeros((1, *SHAPE), np.float32))
    return model


def ended_by(end):
    images = keras.Input(SHAPE)
    logits = layers.Dense(10)(layers.Flatten()(images))
    return keras.Model(images, end(logits))


@pytest.mark.parametrize(
    "make",
    [
        lambda: ended_by(lambda logits: logits * 0.5),
        opaque,
        *slow(
            lambda: ended_by(layers.Activation("linear")),
            lambda: keras.Sequential(
                [keras.Input(SHAPE), ended_by(lambda x: x)]
            ),
        ),
    ],
    ids=["operation", "subclassed", "activation", "nested"],
)
def test_logits_of_a_file_are_float32_however_it_ends(make, tmp_path, capsys):
    make().save(tmp_path / "mine.keras")
    model = build(
        classifier=str(tmp_path / "mine.keras"),
        precision="mixed_bfloat16", method="natural",
    )  # fmt: skip
    images, _ = batch()
    logits = np.asarray(model.classifier(images))
    assert logits.dtype == np.float32
    rounded = tf.cast(tf.cast(logits, tf.bfloat16), tf.float32)
    assert np.any(logits != rounded)
    told = "is trained in float32" in capsys.readouterr().out
    assert told == (make is opaque)


def test_variables_of_lower_precision_are_not_trained(tmp_path):
    low = keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Flatten(),
            layers.Dense(10, dtype="bfloat16"),
        ]
    )
    with pytest.raises(UsageError, match="mixed_bfloat16.*of bfloat16"):
        build(low, method="natural")
    low.save(tmp_path / "low.keras")
    for precision in ("float32", "mixed_bfloat16"):
        model = build(
            classifier=str(tmp_path / "low.keras"),
            precision=precision, method="natural",
        )  # fmt: skip
        kinds = {v.dtype for v in model.classifier.trainable_variables}
        assert kinds == {"float32"}
        assert np.isfinite(float(model.train_step(batch())["loss"]))


def test_a_subclassed_classifier_may_be_remembered():
    settings = {"method": "start", "start_from": "remembered"}
    config = resolve(SMALL, settings)
    model = build_model(config, SHAPE, 10, num_images=4, classifier=opaque())
    assert model.memory.image_shape == SHAPE


def test_float16_needs_loss_scaling():
    half = keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Flatten(),
            layers.Dense(10, dtype="mixed_float16"),
        ]
    )
    with pytest.raises(UsageError, match="needs loss scaling.*=float32"):
        build(half, method="natural", precision="float32")
    build(half, method="natural", precision="mixed_float16")


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "gan", "generator_width": 0.1},
        {"method": "pgd", "attack_steps": 2},
        {"method": "natural"},
    ],
    ids=lambda settings: settings["method"],
)
@pytest.mark.parametrize(("third_party", "shape"), THIRD_PARTIES)
def test_third_party_models_train_and_resume(
    tmp_path, third_party, shape, settings
):
    config = {**settings, "image_size": shape[0]}
    model = build(third_party(), shape, **config)
    state = RunState(model, tmp_path)
    start = weights(model)
    model.train_step(batch(shape))
    state.save(1)
    logs = model.train_step(batch(shape))
    assert all(np.isfinite(float(value)) for value in logs.values())
    assert_moved(start, weights(model))
    resumed = build(third_party(), shape, **config)
    assert RunState(resumed, tmp_path).restore()
    resumed.train_step(batch(shape))
    assert_equal(weights(model), weights(resumed))


@pytest.mark.slow
@pytest.mark.parametrize(("third_party", "shape"), THIRD_PARTIES)
def test_third_party_models_are_measured_audited_and_exported(
    tmp_path, third_party, shape
):
    model = build(third_party(), shape, method="natural", image_size=shape[0])
    images, labels = batch(shape)
    expected = model(images)
    save_networks(model, tmp_path / "best")
    path = tmp_path / "best" / "classifier.keras"
    classifier = load_classifier(model=path)
    names = [str(number) for number in range(10)]
    saved_model.write(load_float32(path), names, tmp_path / "served")
    served = load_classifier(model=tmp_path / "served")
    for loaded in (classifier, served):
        np.testing.assert_allclose(
            loaded.logits_fn(images), expected, atol=1e-4
        )
    pixels = (images.numpy() * 255).astype(np.uint8)
    evaluation = evaluate_classifier(
        classifier, pixels, labels.numpy(), attacks=["fgsm"], eps=[0.1],
        batch_size=8,
    )  # fmt: skip
    assert evaluation.num_images == 8
    checks = audit_classifier(
        classifier, pixels, labels.numpy(), eps=0.1, batch_size=8,
        correct={"fgsm": evaluation.masks["fgsm", 0.1]}, undefended=served,
    )  # fmt: skip
    # An untrained network knows no classes, and not each shows its last layer.
    idle = {check.check for check in checks if not check.was_made}
    assert idle <= {"transfer", "undefended", "inner_layers", "planted"}
