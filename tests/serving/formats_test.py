"""Exports in runtimes that share no code with this package."""

import json

import numpy as np
import pytest
import tensorflow as tf
from served import NAMES, SHAPE, make_run, shallow_classifier
from toys import gradient_signs

from tfgan_robust.classifiers.loading import load_float32
from tfgan_robust.errors import TfganRobustError, UsageError
from tfgan_robust.serving import checking
from tfgan_robust.serving.export import CARD, METADATA, ExportSettings, export
from tfgan_robust.serving.formats import FORMATS

BATCHES = (1, 7, 64)
EPS = 0.05


def onnx_runtime(folder):
    runtime = pytest.importorskip("onnxruntime", reason="extra `export`")
    session = runtime.InferenceSession(folder / "model.onnx")
    assert [each.name for each in session.get_inputs()] == ["images"]
    names = ["logits", "probabilities"]
    assert [each.name for each in session.get_outputs()] == names
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata == {f"class_{n}": name for n, name in enumerate(NAMES)}
    return lambda images: session.run(names, {"images": images})


def openvino(folder):
    runtime = pytest.importorskip("openvino", reason="extra `dev`")
    compiled = runtime.Core().compile_model(
        folder / "model.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )

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
    "ONNX Runtime": ("onnx", onnx_runtime),
    "OpenVINO": ("onnx", openvino),
    "LiteRT": ("litert", litert),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    return make_run(folder, shallow_classifier())


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    done = {}

    def exported(kind):
        for package in FORMATS[kind].packages:
            pytest.importorskip(package, reason="extra `export`")
        if kind not in done:
            folder = tmp_path_factory.mktemp(kind)
            done[kind] = export(
                ExportSettings(
                    run_dir=str(run), output=str(folder), format=kind
                )
            )
        return done[kind]

    return exported


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_another_runtime_answers_as_keras_does(exported, run, runtime):
    kind, load = RUNTIMES[runtime]
    answer = load(exported(kind).path)
    classifier = load_float32(run / "best" / "classifier.keras")
    generator = np.random.default_rng(0)
    for count in BATCHES:
        clean = generator.random((count, *SHAPE), np.float32)
        expected = classifier(clean, training=False).numpy()
        labels = expected.argmax(axis=-1)
        signs = gradient_signs(classifier, tf.constant(clean), labels)
        attacked = np.clip(clean + EPS * signs.numpy(), 0, 1)
        fooled = classifier(attacked, training=False).numpy()
        for images, wanted in ((clean, expected), (attacked, fooled)):
            logits, probabilities = answer(images)
            np.testing.assert_allclose(logits, wanted, atol=1e-4)
            np.testing.assert_allclose(
                probabilities, tf.nn.softmax(wanted), atol=1e-4
            )
    assert (fooled.argmax(axis=-1) != labels).any()


@pytest.mark.parametrize("kind", ["onnx", "litert"])
def test_an_export_tells_what_it_is(exported, kind):
    done = exported(kind)
    told = json.loads((done.path / METADATA).read_text(encoding="utf-8"))
    assert told == done.metadata and told["format"] == kind
    assert done.largest_difference < 1e-4
    assert f"| {kind}" in (done.path / CARD).read_text(encoding="utf-8")


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
