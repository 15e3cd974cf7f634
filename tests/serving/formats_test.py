"""Exports in runtimes that share no code with this package."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases import all_slow_but
from served import NAMES, make_run, shallow_classifier
from toys import gradient_signs

from tfgan_robust.classifiers.loading import load_float32
from tfgan_robust.errors import TfganRobustError, UsageError
from tfgan_robust.lazy import load
from tfgan_robust.networks.logits import normalisations
from tfgan_robust.networks.registry import NETWORKS
from tfgan_robust.serving import checking
from tfgan_robust.serving.export import CARD, METADATA, ExportSettings, export
from tfgan_robust.serving.formats import FORMATS

BATCHES = (1, 7, 64)
EPS = 0.05
PAGE = Path(__file__).parents[2] / "docs" / "serving.md"


def tensorflow(folder):
    loaded = tf.saved_model.load(str(folder))

    def answer(images):
        found = loaded.signatures["serving_default"](images=tf.constant(images))
        return [found["logits"].numpy(), found["probabilities"].numpy()]

    return answer


def onnx_runtime(folder):
    runtime = pytest.importorskip("onnxruntime", reason="extra `export`")
    session = runtime.InferenceSession(folder / "model.onnx")
    assert [each.name for each in session.get_inputs()] == ["images"]
    names = ["logits", "probabilities"]
    assert [each.name for each in session.get_outputs()] == names
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata == {f"class_{n}": name for n, name in enumerate(NAMES)}
    return lambda images: session.run(names, {"images": images})


def hint():
    """Returns what the page tells people to tell OpenVINO."""
    (told,) = re.findall(r'`(\{"INFERENCE.*?\})`', PAGE.read_text("utf-8"))
    return json.loads(told)


def openvino(folder):
    runtime = pytest.importorskip("openvino", reason="extra `dev`")
    if (folder / "model.onnx").is_file():
        model = runtime.Core().read_model(folder / "model.onnx")
    else:
        model = runtime.convert_model(str(folder))
    compiled = runtime.compile_model(model, "CPU", hint())

    def answer(images):
        found = compiled(images)
        return [found["logits"], found["probabilities"]]

    return answer


def litert(folder):
    runtime = pytest.importorskip(
        "ai_edge_litert.interpreter", reason="extra `export`"
    )
    names = (folder / "labels.txt").read_text(encoding="utf-8").splitlines()
    assert names == NAMES
    interpreter = runtime.Interpreter(str(folder / "model.tflite"))
    run = interpreter.get_signature_runner("serving_default")

    def answer(images):
        found = run(images=images)
        return [found["logits"], found["probabilities"]]

    return answer


RUNTIMES = {
    "SavedModel, TensorFlow": ("savedmodel", tensorflow),
    "SavedModel, OpenVINO": ("savedmodel", openvino),
    "ONNX, ONNX Runtime": ("onnx", onnx_runtime),
    "ONNX, OpenVINO": ("onnx", openvino),
    "LiteRT": ("litert", litert),
}


def need(kind):
    for package in FORMATS[kind].packages:
        pytest.importorskip(package, reason="extra `export`")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    return make_run(folder, shallow_classifier())


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    done = {}

    def exported(kind):
        need(kind)
        if kind not in done:
            folder = tmp_path_factory.mktemp(kind)
            done[kind] = export(
                ExportSettings(
                    run_dir=str(run), output=str(folder), format=kind
                )
            )
        return done[kind]

    return exported


def pictures(count, image_shape):
    """Noise of a colour each, float32 in [0, 1]."""
    generator = np.random.default_rng(count)
    colours = generator.random((count, 1, 1, image_shape[-1]), np.float32)
    noise = generator.random((count, *image_shape), np.float32)
    return (2 * colours + noise) / 3


def assert_answers_are_keras(answer, classifier):
    """On clean images, and on FGSM images that were made on the checkpoint."""
    turned = 0
    for count in BATCHES:
        clean = pictures(count, classifier.input_shape[1:])
        expected = classifier(clean, training=False).numpy()
        labels = expected.argmax(axis=-1)
        signs = gradient_signs(classifier, tf.constant(clean), labels)
        attacked = np.clip(clean + EPS * signs.numpy(), 0, 1)
        fooled = classifier(attacked, training=False).numpy()
        for images, wanted in ((clean, expected), (attacked, fooled)):
            logits, probabilities = answer(images)
            # Rounding grows with logits.
            atol = 1e-4 * max(1.0, np.abs(wanted).max())
            np.testing.assert_allclose(logits, wanted, atol=atol)
            np.testing.assert_array_equal(
                logits.argmax(axis=-1), wanted.argmax(axis=-1)
            )
            np.testing.assert_allclose(
                probabilities, tf.nn.softmax(wanted), atol=1e-4
            )
        turned += np.count_nonzero(fooled.argmax(axis=-1) != labels)
    assert turned  # else equal classes would say little


@pytest.mark.parametrize(
    "runtime", all_slow_but(["ONNX, ONNX Runtime"], RUNTIMES)
)
def test_another_runtime_answers_as_keras_does(exported, run, runtime):
    kind, load_in = RUNTIMES[runtime]
    answer = load_in(exported(kind).path)
    classifier = load_float32(run / "best" / "classifier.keras")
    assert_answers_are_keras(answer, classifier)


def backbone(image_shape, num_classes):
    """One of keras.applications."""
    base = keras.applications.MobileNetV2(
        image_shape, alpha=0.35, include_top=False, weights=None
    )
    inputs = keras.Input(image_shape)
    pooled = keras.layers.GlobalAveragePooling2D()(base(inputs))
    return keras.Model(inputs, keras.layers.Dense(num_classes)(pooled))


def of_package(name):
    row = NETWORKS[name]
    settings = {**vars(row.settings()), "classifier_width": 0.25}
    return lambda *shapes: load(row.build)(*shapes, **settings)


DEEP = {
    **{name: of_package(name) for name in ("vgg", "resnet18", "vit")},
    "MobileNetV2": backbone,
}


def as_if_trained(model):
    """Gives it statistics, and no class that it prefers."""
    images = pictures(64, model.input_shape[1:])
    for layer in normalisations(model):
        layer.momentum = 0.0
    model(images, training=True)
    mean = model(images, training=False).numpy().mean(axis=0)
    model.layers[-1].bias.assign_sub(mean)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", DEEP)
def test_deep_networks_answer_as_keras_does(tmp_path, name, runtime):
    kind, load_in = RUNTIMES[runtime]
    need(kind)
    keras.utils.set_random_seed(0)
    classifier = as_if_trained(DEEP[name]((32, 32, 3), len(NAMES)))
    FORMATS[kind].load().write(classifier, NAMES, tmp_path)
    assert_answers_are_keras(load_in(tmp_path), classifier)


def test_onnx_files_spell_out_what_onnx_lacks(tmp_path):
    need("onnx")
    keras.utils.set_random_seed(0)
    # Exact GELU, twice: erfc in TensorFlow.
    layers = keras.layers
    classifier = keras.Sequential(
        [keras.Input((16, 16, 3)), layers.Flatten(),
         layers.Dense(8, activation="gelu"), layers.Dense(8, activation="gelu"),
         layers.Dense(len(NAMES))]
    )  # fmt: skip
    FORMATS["onnx"].load().write(classifier, NAMES, tmp_path)
    images = pictures(7, (16, 16, 3))
    logits, _ = onnx_runtime(tmp_path)(images)
    np.testing.assert_allclose(logits, classifier(images).numpy(), atol=1e-5)


@pytest.mark.parametrize("kind", ["onnx", "litert"])
def test_an_export_tells_what_it_is(exported, kind):
    done = exported(kind)
    told = json.loads((done.path / METADATA).read_text(encoding="utf-8"))
    assert told == done.metadata and told["format"] == kind
    assert done.largest_difference < 1e-4
    assert f"| {kind}" in (done.path / CARD).read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["onnx", "litert"])
def test_the_command_that_comes_next_runs_wherever_the_export_lies(
    exported, tmp_path, kind
):
    folder = tmp_path / 'it\'s {a} "model"' / "1"
    folder.parent.mkdir()
    folder.symlink_to(exported(kind).path)
    command = FORMATS[kind].command(folder)
    (python, rest) = command.split(" ", 1)
    assert python == "python"
    done = subprocess.run(
        ["bash", "-c", f"{shlex.quote(sys.executable)} {rest}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "images" in done.stdout


def test_openvino_computes_in_lower_precision_unless_told_otherwise(exported):
    runtime = pytest.importorskip("openvino", reason="extra `dev`")
    assert "OpenVINO computes in bfloat16" in PAGE.read_text("utf-8")
    core, asked = runtime.Core(), "INFERENCE_PRECISION_HINT"
    file = exported("onnx").path / "model.onnx"
    by_itself = core.compile_model(file, "CPU").get_property(asked)
    able = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    assert by_itself == (runtime.Type.bf16 if able else runtime.Type.f32)
    told = core.compile_model(file, "CPU", hint()).get_property(asked)
    assert told == runtime.Type.f32


def test_litert_cannot_decode_files():
    assert "LiteRT cannot decode files" in PAGE.read_text("utf-8")

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def decode(file):
        return tf.io.decode_image(file, 3, expand_animations=False)

    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [decode.get_concrete_function()]
    )
    with pytest.raises(Exception, match="DecodeImage"):
        converter.convert()


def test_an_export_of_another_classifier_is_found(exported, tmp_path):
    done = exported("onnx")
    model = shallow_classifier()
    model.layers[-1].bias.assign_add([1.0, 0.0, 0.0])
    model.save(tmp_path / "other.keras")
    with pytest.raises(TfganRobustError, match="images differ from Keras"):
        checking.largest_difference("onnx", done.path, tmp_path / "other.keras")


@pytest.mark.parametrize("kind", ["onnx", "litert"])
def test_absent_packages_are_named_before_anything_is_written(
    run, tmp_path, monkeypatch, kind
):
    monkeypatch.setattr(
        "tfgan_robust.serving.formats._is_installed", lambda package: False
    )
    options = ExportSettings(
        run_dir=str(run), output=str(tmp_path / "D"), format=kind
    )
    with pytest.raises(UsageError, match=r"needs .*; install .*\[export\]"):
        export(options)
    assert not (tmp_path / "D").exists()
