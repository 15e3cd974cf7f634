"""Requests as TensorFlow Serving reads them, by its own messages."""

import base64
import json

import numpy as np
import pytest
import tensorflow as tf
from served import SHAPE, random_classifier

from tfgan_robust.serving import saved_model
from tfgan_robust.serving.warmup import FILE

NAMES = ("cat", "dog", "émeu", "fox")
predict_pb2 = pytest.importorskip(
    "tensorflow_serving.apis.predict_pb2", reason="extra `dev`"
)
prediction_log_pb2 = pytest.importorskip(
    "tensorflow_serving.apis.prediction_log_pb2", reason="extra `dev`"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model"
    saved_model.write(random_classifier(NAMES, seed=0), NAMES, path)
    return path


@pytest.fixture(scope="module")
def signatures(folder):
    loaded = tf.saved_model.load(str(folder))
    yield loaded.signatures
    del loaded


def answer(signatures, request):
    """Answers a request as the server does: by the signature's own names."""
    name = request.model_spec.signature_name or "serving_default"
    given = {k: tf.make_ndarray(v) for k, v in request.inputs.items()}
    (_, expected) = signatures[name].structured_input_signature
    assert set(given) == set(expected)
    for key, spec in expected.items():
        assert tf.as_dtype(request.inputs[key].dtype) == spec.dtype
        assert spec.shape.is_compatible_with(given[key].shape)
    return signatures[name](**{k: tf.constant(v) for k, v in given.items()})


def test_warm_up_requests_are_answered(folder, signatures):
    path = folder / "assets.extra" / FILE
    records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    logs = [prediction_log_pb2.PredictionLog.FromString(r) for r in records]
    requests = [log.predict_log.request for log in logs]
    assert [r.model_spec.signature_name for r in requests] == [
        "serving_default", "serve_uint8", "serve_image",
    ]  # fmt: skip
    found = [answer(signatures, request)["logits"] for request in requests]
    for logits in found:
        assert logits.shape == (1, len(NAMES))
        np.testing.assert_allclose(logits, found[0], atol=1e-5)


@pytest.fixture
def in_session(folder):
    """Answers as the server does: by the names of a graph's tensors."""
    graph = tf.Graph()
    session = tf.compat.v1.Session(graph=graph)
    with graph.as_default():
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))

    def answer(name, **inputs):
        signature = loaded.signature_def[name]
        assert set(inputs) == set(signature.inputs)
        given = {signature.inputs[k].name: v for k, v in inputs.items()}
        wanted = {k: end.name for k, end in signature.outputs.items()}
        return session.run(wanted, given)

    yield answer
    session.close()


def test_all_signatures_answer_in_a_session(in_session, signatures):
    images = np.random.default_rng(2).integers(256, size=(2, *SHAPE))
    images = images.astype(np.uint8)
    files = [tf.io.encode_png(image).numpy() for image in images]
    requests = {
        "serving_default": {"images": (images / 255).astype(np.float32)},
        "serve_uint8": {"images": images},
        "serve_image": {"image_bytes": [files[0], b"no image", files[1]]},
        "labels": {"class_numbers": np.array([3, 0, 9], np.int64)},
    }
    assert set(requests) == set(signatures)
    for name, given in requests.items():
        found = in_session(name, **given)
        eager = {key: tf.constant(value) for key, value in given.items()}
        expected = signatures[name](**eager)
        assert set(found) == set(expected)
        for key, value in expected.items():
            if value.dtype == tf.string:
                assert found[key].tolist() == value.numpy().tolist()
            else:
                np.testing.assert_allclose(found[key], value, atol=1e-5)
    assert [n.decode() for n in found["labels"]] == ["fox", "cat", ""]


def request(signature, **inputs):
    built = predict_pb2.PredictRequest()
    built.model_spec.name = "robust"
    built.model_spec.signature_name = signature
    for name, value in inputs.items():
        built.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return predict_pb2.PredictRequest.FromString(built.SerializeToString())


def test_clients_messages_are_answered(signatures):
    images = np.random.default_rng(0).integers(256, size=(3, *SHAPE))
    images = images.astype(np.uint8)
    files = [tf.io.encode_png(image).numpy() for image in images]
    floats = (images / 255).astype(np.float32)
    found = [
        answer(signatures, each)["logits"]
        for each in (
            request("serving_default", images=floats),
            request("", images=floats),
            request("serve_uint8", images=images),
            request("serve_image", image_bytes=files),
        )
    ]
    for logits in found:
        np.testing.assert_allclose(logits, found[0], atol=1e-5)
    numbers = np.array([1, 0], np.int64)
    labels = answer(signatures, request("labels", class_numbers=numbers))
    assert [n.decode() for n in labels["labels"].numpy()] == ["dog", "cat"]


def from_rest(signatures, body):
    """Reads a body as TensorFlow Serving's REST interface does.

    The key of a single input may be left out of `instances`; {"b64": ...}
    stands for bytes; all else takes the signature's type.
    """
    parsed = json.loads(body)
    signature = signatures[parsed.get("signature_name", "serving_default")]
    ((key, spec),) = signature.structured_input_signature[1].items()

    def value(given):
        if isinstance(given, dict) and set(given) == {"b64"}:
            return base64.b64decode(given["b64"])
        if isinstance(given, list):
            return [value(each) for each in given]
        return given

    rows = [
        value(row[key] if isinstance(row, dict) and key in row else row)
        for row in parsed["instances"]
    ]
    return signature(**{key: tf.constant(rows, spec.dtype)})


def test_rest_bodies_are_answered(signatures):
    image = np.random.default_rng(1).integers(256, size=SHAPE)
    file = tf.io.encode_png(image.astype(np.uint8)).numpy()
    b64 = {"b64": base64.b64encode(file).decode()}
    bodies = [
        {"instances": [(image / 255).tolist()]},
        {"signature_name": "serve_uint8", "instances": [image.tolist()]},
        {"signature_name": "serve_image", "instances": [b64]},
        {"signature_name": "serve_image", "instances": [{"image_bytes": b64}]},
    ]
    found = [
        from_rest(signatures, json.dumps(body))["logits"] for body in bodies
    ]
    for logits in found:
        np.testing.assert_allclose(logits, found[0], atol=1e-5)
    body = {"signature_name": "labels", "instances": [3, 2, 1, 0]}
    labels = from_rest(signatures, json.dumps(body))["labels"].numpy()
    assert [n.decode() for n in labels] == list(reversed(NAMES))
