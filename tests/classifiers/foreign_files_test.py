"""Files of other people's kinds are measured at the first try, or refused.

Each is written here, measured by `evaluate` without a flag that says what it
is, and compared with clean accuracy and FGSM computed apart from it.
"""

import json
import os
import runpy
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import brightness
import keras
import keras2
import numpy as np
import pytest
import tensorflow as tf
from cases import all_slow_but
from keras import layers
from saved import read_results
from trained import train

import tfgan_robust
from tfgan_robust import evaluate
from tfgan_robust.classifiers.classifier import Classifier
from tfgan_robust.classifiers.images import check_images
from tfgan_robust.classifiers.interface import KNOWN, parse_input_range
from tfgan_robust.classifiers.loading import load_classifier
from tfgan_robust.data.loading import load_test, load_training
from tfgan_robust.errors import UsageError

ROOT = Path(tfgan_robust.__file__).parents[1]
SHAPE = (16, 16, 3)
COUNT, EPS = 40, 0.1
CLASSES = 10


def body():
    return [
        layers.Conv2D(6, 5, strides=3, activation="relu"),
        layers.Flatten(),
    ]


@pytest.fixture(scope="module")
def weights():
    """Of `body` and a dense layer, trained on the digits for seconds."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input(SHAPE), *body(), layers.Dense(CLASSES)]
    )
    _, training, _ = load_training("digits")
    return train(model, training, steps=120).get_weights()


def sequential(weights, *parts, end=None, shape=SHAPE):
    """A Sequential that begins with some layers and has these weights."""
    model = keras.Sequential(
        [keras.Input(shape), *parts, *body(), layers.Dense(CLASSES, end)]
    )
    return filled(model, weights)


def functional(weights, end=None, *, wrap=lambda x: x, shape=SHAPE, **given):
    inputs = keras.Input(shape, **given)
    x = wrap(inputs)
    for layer in (*body(), layers.Dense(CLASSES, end)):
        x = layer(x)
    return filled(keras.Model(inputs, x), weights)


def filled(model, weights):
    for layer, pair in (
        (of_class(model, layers.Conv2D), weights[:2]),
        (of_class(model, layers.Dense), weights[2:]),
    ):
        layer.set_weights(pair)
    return model


def of_class(model, kind):
    (found,) = (x for x in model._flatten_layers() if type(x) is kind)
    return found


def independent(weights, pixels=lambda x: x):
    """Counts what is correct while clean, and under FGSM, on digits."""
    plain = sequential(weights)
    split = load_test("digits")[1]
    labels = tf.constant(split.labels[:COUNT])
    images = tf.constant(split.images[:COUNT] / np.float32(255))

    def correct(images):
        return np.argmax(plain(pixels(images)), axis=-1) == labels.numpy()

    with tf.GradientTape() as tape:
        tape.watch(images)
        loss = keras.losses.sparse_categorical_crossentropy(
            labels, plain(pixels(images)), from_logits=True
        )
    step = EPS * tf.sign(tape.gradient(loss, images))
    clean, attacked = (
        correct(images), correct(tf.clip_by_value(images + step, 0, 1))
    )  # fmt: skip
    return [int(clean.sum()), int((clean & attacked).sum())]


def measured(path, folder, **given):
    settings = {
        "model": str(path),
        "dataset": "digits",
        "attacks": "fgsm",
        "eps": str(EPS),
        "num_images": COUNT,
        "audit": False,
        "output": str(folder / "out"),
        **given,
    }
    assert evaluate._run(settings) == 0
    results = read_results(Path(settings["output"]))
    return [r["num_correct"] for r in results["results"]], results["notes"]


def saved(model, folder, name="m.keras"):
    model.save(folder / name)
    return folder / name


# Files that this Keras wrote: from weights and a folder to a path.
MODERN = {
    "logits": lambda w, f: saved(sequential(w), f),
    "softmax": lambda w, f: saved(sequential(w, end="softmax"), f),
    "sigmoid": lambda w, f: saved(sequential(w, end="sigmoid"), f),
    "functional softmax": lambda w, f: saved(functional(w, "softmax"), f),
    "h5": lambda w, f: saved(sequential(w, end="softmax"), f, "m.h5"),
    "hdf5": lambda w, f: saved(functional(w), f, "m.hdf5"),
    "h5 that is called keras": lambda w, f: shutil.move(
        saved(sequential(w), f, "m.h5"), f / "m.keras"
    ),
    "no suffix": lambda w, f: shutil.move(saved(sequential(w), f), f / "model"),
    "nested Sequentials": lambda w, f: saved(
        filled(
            keras.Sequential(
                [
                    keras.Input(SHAPE),
                    keras.Sequential(body()),
                    keras.Sequential([layers.Dense(CLASSES, "softmax")]),
                ]
            ),
            w,
        ),
        f,
    ),
    "augmentation inside": lambda w, f: saved(
        sequential(
            w,
            keras.Sequential(
                [layers.RandomFlip(), layers.RandomRotation(0.1)]
            ),
        ),
        f,
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    all_slow_but(
        ["logits", "softmax", "h5", "no suffix", "augmentation inside"], MODERN
    ),
)
def test_files_of_this_keras_need_no_flag(kind, weights, tmp_path):
    counts, notes = measured(MODERN[kind](weights, tmp_path), tmp_path)
    assert counts == independent(weights)
    assert notes == []


def old(model, folder, name, *changes):
    path = saved(model, folder, name)
    for change in (keras2.old_forms, *changes):
        keras2.rewrite(path, change)
    return path


def nested_old(w):
    inner = keras.Input(SHAPE)
    x = inner
    for layer in body():
        x = layer(x)
    inner = keras.Model(inner, x)
    inputs = keras.Input(SHAPE)
    outputs = layers.Dense(CLASSES, "softmax")(inner(inputs))
    return filled(keras.Model(inputs, outputs), w)


def normalised(w):
    identity = layers.BatchNormalization(epsilon=0.0)
    return functional(w, wrap=identity)


def depthwise(w):
    layer = layers.DepthwiseConv2D(1, depthwise_initializer="ones")
    return functional(w, wrap=layer)


def _renamed(config):
    config["class_name"] = "Model"
    return config


def _listed(config):
    config["config"] = config["config"]["layers"]
    return config


@keras2.everywhere
def _policies(config):
    if config.get("class_name") == "Dense":
        policy = {"class_name": "Policy", "config": {"name": "float32"}}
        config["config"]["dtype"] = policy


def _operation(function, **arguments):
    """Makes the Rescaling of a graph what Keras 2 made of an operator."""

    def change(config):
        for layer in config["config"]["layers"]:
            if layer["class_name"] == "Rescaling":
                ((place,),) = layer["inbound_nodes"]
                layer["class_name"] = "TFOpLambda"
                layer["inbound_nodes"] = [[*place[:3], arguments]]
                layer["config"] = {"name": layer["name"], "function": function}
        return config

    return change


def halved(w):
    first, *rest = w
    wrap = layers.Rescaling(0.5)
    return functional([2 * first, *rest], wrap=wrap)


def windows(w, folder):
    path = saved(sequential(w), folder)
    keras2.change_member(path, "model.weights.h5", keras2.on_windows)
    return path


# Files of Keras 2: what writes them, and what is said of the repair.
OLD = {
    "functional": (
        lambda w, f: old(functional(w, "softmax"), f, "m.keras"),
        "batch_input_shape, the module of Functional",
    ),
    "sequential": (
        lambda w, f: old(
            sequential(w, end="softmax"), f, "m.keras",
            keras2.first_layer_knows,
        ),
        "batch_input_shape",
    ),
    "h5, a list of layers": (
        lambda w, f: old(
            sequential(w), f, "m.h5", keras2.first_layer_knows, _listed
        ),
        "a Sequential without a name",
    ),
    "h5, no modules": (
        lambda w, f: old(
            depthwise(w), f, "m.h5", keras2.without_modules, _renamed
        ),
        "groups of DepthwiseConv2D",
    ),
    "initialisers": (
        lambda w, f: old(
            sequential(w), f, "m.keras", keras2.initialisers_with_dtype
        ),
        "dtype of initialisers",
    ),
    "policies": (
        lambda w, f: old(sequential(w), f, "m.keras", _policies),
        "dtype policies",
    ),
    "a model within a model": (
        lambda w, f: old(nested_old(w), f, "m.keras"),
        "calls of a model within a model",
    ),
    "a model within a model, h5": (
        lambda w, f: old(nested_old(w), f, "m.h5", keras2.without_modules),
        "calls of a model within a model",
    ),
    "batch normalisation": (
        lambda w, f: old(normalised(w), f, "m.keras"),
        "axis of BatchNormalization",
    ),
    "augmentation": (
        lambda w, f: old(sequential(w, layers.RandomFlip()), f, "m.keras"),
        "rng_type of RandomFlip",
    ),
    "an operator": (
        lambda w, f: old(
            halved(w), f, "m.keras", _operation("math.truediv", y=2.0)
        ),
        "math.truediv as Rescaling",
    ),
    "windows": (windows, "groups named with backslashes"),
}  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    all_slow_but(
        ["functional", "h5, a list of layers", "h5, no modules", "an operator"],
        OLD,
    ),
)
def test_old_files_are_repaired_and_it_is_said(kind, weights, tmp_path, capsys):
    write, said = OLD[kind]
    path = write(weights, tmp_path)
    with pytest.raises(Exception):  # noqa: B017, PT011
        keras.models.load_model(path, compile=False)
    before = path.read_bytes()
    counts, notes = measured(path, tmp_path)
    assert counts == independent(weights)
    (note,) = notes
    assert note.startswith(f"{path.name} is of another version of Keras")
    assert said in note
    assert f"NOTE: {note}" in capsys.readouterr().out
    assert path.read_bytes() == before


def free_size(w, folder):
    inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(6, 5, strides=3, activation="relu")(inputs)
    x = layers.Flatten()(layers.Resizing(4, 4, "nearest")(x))
    model = keras.Model(inputs, layers.Dense(CLASSES)(x))
    return saved(filled(model, w), folder)


def bytes_in(w, folder):
    scaled = layers.Rescaling(1 / 255)
    return saved(functional(w, wrap=scaled, dtype="uint8"), folder)


def channels_first(w, folder):
    turn = layers.Permute((2, 3, 1))
    return saved(functional(w, wrap=turn, shape=(3, 16, 16)), folder)


def two_outputs(w, folder):
    model = functional(w)
    ends = {"logits": model.output, "sure": layers.Softmax()(model.output)}
    return saved(keras.Model(model.inputs, ends), folder)


def one_named_output(w, folder):
    model = functional(w, "softmax")
    return saved(keras.Model(model.inputs, {"p": model.output}), folder)


def grey(w, folder):
    kernel, *rest = w
    model = keras.Sequential(
        [keras.Input((16, 16, 1)), *body(), layers.Dense(CLASSES)]
    )
    return saved(filled(model, [kernel.sum(2, keepdims=True), *rest]), folder)


# Models of other forms: what writes them, and what is said.
FORMS = {
    "free size": (free_size, "of any size, and was given 16 x 16"),
    "uint8": (bytes_in, "takes uint8, and was given 0 to 255"),
    "channels first": (channels_first, "takes channels first"),
    "two outputs": (two_outputs, "outputs logits, sure, logits was taken"),
    "one named output": (one_named_output, None),
    "one channel": (grey, "takes one channel"),
}


@pytest.mark.parametrize(
    "kind", all_slow_but(["uint8", "channels first", "two outputs"], FORMS)
)
def test_models_of_other_forms_are_fitted_and_it_is_said(
    kind, weights, tmp_path
):
    write, said = FORMS[kind]
    counts, notes = measured(write(weights, tmp_path), tmp_path)
    mean = {"one channel": lambda x: tf.repeat(
        tf.reduce_mean(x, -1, keepdims=True), 3, -1
    )}  # fmt: skip
    assert counts == independent(weights, mean.get(kind, lambda x: x))
    assert len(notes) == (said is not None)
    assert said is None or said in notes[0]


@pytest.fixture(scope="module")
def bright(tmp_path_factory):
    """A folder of images whose class is how bright they are."""
    data = brightness.images_and_labels()
    folder = tmp_path_factory.mktemp("data")
    return brightness.write(folder, *data), data


def measured_bright(path, folder, data_dir, **given):
    return measured(
        path, folder, dataset="folder", data_dir=str(data_dir), image_size=16,
        eps="0.08", num_images=None, **given,
    )  # fmt: skip


@pytest.mark.parametrize(
    "pixels",
    all_slow_but(KNOWN[:1], KNOWN),
    ids=lambda pixels: pixels.text,
)
def test_files_for_other_pixels_are_fed_them(pixels, bright, tmp_path, capsys):
    data_dir, data = bright
    path = saved(brightness.network(pixels, "softmax"), tmp_path)
    counts, (note,) = measured_bright(path, tmp_path, data_dir)
    assert counts == brightness.correct_under_fgsm(*data, 0.08)
    assert f"expects pixels {pixels.text}, and was given them: 240" in note
    assert f"NOTE: {note}" in capsys.readouterr().out
    # Whoever says so means the same, and whoever says something else wins.
    said = {"input_range": pixels.text}
    assert measured_bright(path, tmp_path, data_dir, **said) == (counts, [])
    assert 60 <= counts[1] < counts[0] == 240
    said = {"input_range": "0,1", "output": str(tmp_path / "as it is")}
    (clean, _), _ = measured_bright(path, tmp_path, data_dir, **said)
    assert clean < 150


@pytest.mark.slow
def test_references_of_other_kinds_are_as_good_as_their_twins(bright, tmp_path):
    data_dir, _ = bright
    found = []
    for name, reference in (
        ("twin", brightness.network()),
        ("other", brightness.network(parse_input_range("-1,1"), "softmax")),
    ):
        folder = tmp_path / name
        folder.mkdir()
        path = saved(brightness.network(), folder)
        given = {"transfer_from": str(saved(reference, folder, "r.keras"))}
        found.append(measured_bright(path, folder, data_dir, **given))
    (counts, silent), (same, (note,)) = found
    assert same == counts and len(counts) == 3 and silent == []
    assert note.startswith("r.keras (logits before its softmax) (pixels -1,1):")
    assert "the model expects pixels -1,1" in note


def test_a_free_size_goes_with_image_size(weights, tmp_path):
    path = free_size(weights, tmp_path)
    _, (note,) = measured(path, tmp_path, image_size=20)
    assert "given 20 x 20" in note
    classifier = load_classifier(model=path, image_shape=(20, 20, 3))
    assert classifier.image_shape == (20, 20, 3)
    with pytest.raises(UsageError, match="say it by `image_shape`"):
        load_classifier(model=path)


@keras.saving.register_keras_serializable(package="foreign_files_test")
class Subclassed(keras.Model):
    """Answers with a mapping, from its code alone."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.parts = [*body(), layers.Dense(CLASSES)]

    def call(self, images):
        for part in self.parts:
            images = part(images)
        return {"logits": images, "probabilities": tf.nn.softmax(images)}


def test_a_subclassed_model_that_answers_with_a_mapping(weights, tmp_path):
    model = Subclassed()
    model(np.zeros((1, *SHAPE), np.float32))
    counts, (note,) = measured(
        saved(filled(model, weights), tmp_path), tmp_path
    )
    assert counts == independent(weights)
    assert "logits was taken" in note


@keras.saving.register_keras_serializable(package="foreign_files_test")
class Building(Subclassed):
    """Makes its weights without being called."""

    def build(self, input_shape):
        for part in self.parts:
            part.build(input_shape)
            input_shape = part.compute_output_shape(input_shape)


def test_a_subclassed_model_that_was_built_and_never_called(weights, tmp_path):
    model = Building()
    model.build((None, *SHAPE))
    path = saved(filled(model, weights), tmp_path)
    counts, (note,) = measured(path, tmp_path)
    assert counts == independent(weights)
    assert "logits was taken" in note
    assert load_classifier(model=path).image_shape == SHAPE


@keras.saving.register_keras_serializable(package="foreign_files_test")
class Unsaid(keras.Model):
    """Builds its parts itself, and does not say from which shape."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.flatten = body()
        self.dense = layers.Dense(CLASSES)
        self.first.build((None, *SHAPE))
        self.dense.build((None, 96))
        self.built = True

    def call(self, images):
        return self.dense(self.flatten(self.first(images)))


def test_a_subclassed_model_that_does_not_say_its_shape(weights, tmp_path):
    path = saved(filled(Unsaid(), weights), tmp_path)
    counts, (note,) = measured(path, tmp_path)
    assert counts == independent(weights)
    assert "does not say what it takes, and was given 16 x 16 x 3" in note
    assert load_classifier(model=path, image_shape=SHAPE).image_shape == SHAPE
    with pytest.raises(UsageError) as error:
        load_classifier(model=path)
    assert "call the model on a batch of images first, or say" in str(
        error.value
    )
    with pytest.raises(
        UsageError, match=r"does not take images of \(8, 8, 3\)"
    ):
        load_classifier(model=path, image_shape=(8, 8, 3))


MINE = """
import keras
from keras import layers

@keras.saving.register_keras_serializable("mine")
class Mine(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.conv = layers.Conv2D(6, 5, strides=3, activation="relu")
        self.flatten = layers.Flatten()
        self.dense = layers.Dense(10)

    def call(self, images):
        return self.dense(self.flatten(self.conv(images)))
"""


@pytest.mark.slow
def test_a_subclassed_model_with_the_module_that_has_its_class(
    weights, tmp_path
):
    (tmp_path / "mine.py").write_text(MINE)
    model = runpy.run_path(str(tmp_path / "mine.py"))["Mine"]()
    model(np.zeros((1, *SHAPE), np.float32))
    saved(filled(model, weights), tmp_path)
    done = subprocess.run(
        [
            sys.executable, "-m", "tfgan_robust.evaluate", "--import=mine",
            "--model=m.keras", "--dataset=digits", "--attacks=fgsm",
            f"--eps={EPS}", f"--num_images={COUNT}", "--audit_images=8",
            "--undefended=none", "--output=out",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = read_results(tmp_path / "out")
    counts = [result["num_correct"] for result in results["results"]]
    assert counts == independent(weights)
    (again,) = (c for c in results["audit"] if c["check"] == "reloaded")
    # The fresh process knows the module too.
    assert again["verdict"] == "PASS" and again["figures"]


def test_one_sigmoid_stands_for_two_classes():
    generator = np.random.default_rng(0)
    images = generator.random((8, 4, 4, 3), np.float32)
    flat = [keras.Input((4, 4, 3)), layers.Flatten()]
    model = keras.Sequential([*flat, layers.Dense(1, "sigmoid")])
    classifier = Classifier.from_keras(model)
    assert classifier.num_classes == 2
    shares = tf.nn.softmax(classifier.logits_fn(tf.constant(images)))
    np.testing.assert_allclose(shares[:, 1:], model(images), rtol=1e-5)
    assert "one output" in classifier.notes[0]
    model = keras.Sequential([*flat, layers.Dense(1, "softmax")])
    with pytest.raises(UsageError, match="softmax over one class"):
        Classifier.from_keras(model)


def test_one_sigmoid_is_measured_on_two_classes(tmp_path):
    images, labels = brightness.images_and_labels(2, spread=0.6)
    data_dir = brightness.write(tmp_path / "data", images, labels)
    rng = np.random.default_rng(1)
    # Of how bright an image is, and of some of its pixels.
    weights = 20 / images[0].size + rng.normal(0, 0.01, images[0].size)
    bias = -10 - 0.5 * rng.normal()
    dense = layers.Dense(1, "sigmoid")
    model = keras.Sequential(
        [keras.Input(brightness.SHAPE), layers.Flatten(), dense]
    )
    dense.set_weights([weights[:, None], np.array([bias])])
    counts, (note,) = measured_bright(
        saved(model, tmp_path), tmp_path, data_dir
    )

    def correct(floats):
        logits = floats.reshape(len(floats), -1) @ weights + bias
        return (logits > 0) == labels

    floats = images / 255
    away = np.where(labels == 1, -1, 1)[:, None, None, None]
    step = 0.08 * away * np.sign(weights).reshape(brightness.SHAPE)
    clean, attacked = (
        correct(each) for each in (floats, np.clip(floats + step, 0, 1))
    )
    assert counts == [clean.sum(), (clean & attacked).sum()]
    assert 0 < counts[1] < counts[0] < len(labels)
    assert "one output" in note


def weights_alone(name):
    def write(w, folder):
        sequential(w).save_weights(folder / name)
        return folder / name

    return write


def content(data, name="m.keras"):
    def write(w, folder):
        (folder / name).write_bytes(data)
        return folder / name

    return write


def torch(w, folder):
    with zipfile.ZipFile(folder / "m.pth", "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    return folder / "m.pth"


class Unregistered(layers.Layer):
    """A layer of somebody's own."""

    def call(self, images):
        return images


def lambda_h5(w, folder):
    part = layers.Lambda(lambda x: 2 * x, output_shape=SHAPE)
    return saved(sequential(w, part), folder, "m.h5")


def unknown_operation(w, folder):
    change = _operation("linalg.matrix_transpose")
    return old(halved(w), folder, "m.keras", change)


def several(w, folder):
    model = functional(w)
    ends = [model.output, layers.Softmax()(model.output)]
    return saved(keras.Model(model.inputs, ends), folder)


def other_size(w, folder):
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(10)]
    )
    return saved(model, folder)


def more_classes(w, folder):
    model = keras.Sequential(
        [keras.Input(SHAPE), layers.Flatten(), layers.Dense(1000)]
    )
    return saved(model, folder)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
# What cannot be measured: what writes it, the cause, the remedy.
REFUSED = {
    "weights": (weights_alone("m.weights.h5"), "weights alone", "load_weights"),
    "lfs": (content(POINTER), "Git LFS pointer", "git lfs pull"),
    "lfs h5": (content(POINTER, "m.h5"), "Git LFS pointer", "git lfs pull"),
    "web page": (content(b"\n<!DOCTYPE html>"), "a web page", "raw link"),
    "json": (content(json.dumps({"a": 1}).encode()), "JSON",
             "model_from_json"),
    "pickle": (content(b"\x80\x04K\x01.", "m.pkl"), "a pickle", "as .keras"),
    "gzip": (content(b"\x1f\x8b\x08\x00"), "gzip", "unpack"),
    "litert": (content(b"\0\0\0\0TFL3"), "LiteRT", "Keras model"),
    "empty": (content(b""), "it is empty", "again"),
    "torch": (torch, "PyTorch", "Keras model"),
    "custom class": (
        lambda w, f: saved(sequential(w, Unregistered()), f),
        "needs Unregistered", "--import",
    ),
    "custom class, h5": (
        lambda w, f: saved(sequential(w, Unregistered()), f, "m.h5"),
        "needs Unregistered", "--import",
    ),
    "lambda, h5": (lambda_h5, "Lambda layer", "load_weights"),
    "operation": (unknown_operation, "(linalg.matrix_transpose)",
                  "load_weights"),
    "several outputs": (several, "outputs 0, 1", "keras.Model"),
    "another size": (other_size, "(8, 8, 3)", "image_size=8"),
    "more classes": (more_classes, "1000 classes", "give data of as many"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_measured_ends_in_a_line_with_a_remedy(
    kind, weights, tmp_path
):
    write, cause, remedy = REFUSED[kind]
    path = write(weights, tmp_path)
    with pytest.raises(UsageError) as error:
        measured(path, tmp_path)
    message = str(error.value)
    assert cause in message and remedy in message
    assert "\n" not in message and len(message) < 400 + len(str(path))
    assert not (tmp_path / "out").exists()


def test_colours_are_not_guessed_into_grey(weights, tmp_path):
    path = grey(weights, tmp_path)
    classifier = load_classifier(model=path, image_shape=SHAPE)
    images = np.zeros((4, *SHAPE), np.uint8)
    check_images(images, np.arange(4), classifier)
    images[1, 0, 0, 0] = 9
    with pytest.raises(UsageError, match="1 of 4 images that are not grey"):
        check_images(images, np.arange(4), classifier)
