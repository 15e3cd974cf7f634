"""Requests with which TensorFlow Serving warms a model up before it serves.

The file is a TFRecord of `PredictionLog` messages. Their classes come with a
package that drags all of gRPC along; the few fields that a request has are
written here as protocol buffers encode them.
"""

from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

# Where TensorFlow Serving looks for it, in assets.extra.
FILE = "tf_serving_warmup_requests"
# Numbers of fields, in prediction_log.proto, predict.proto and model.proto.
_PREDICT_LOG, _REQUEST, _SPEC, _INPUTS = 6, 1, 1, 2
_NAME, _SIGNATURE_NAME, _KEY, _VALUE = 1, 3, 1, 2
_LENGTH_DELIMITED = 2


def write_requests(
    path: Path, requests: Mapping[str, Mapping[str, tf.Tensor]]
) -> None:
    """Writes one request for each signature.

    Args:
        path: The file.
        requests: By the name of a signature, its inputs by their names.
    """
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in requests.items():
            writer.write(_prediction_log(signature, inputs))


def _prediction_log(signature: str, inputs: Mapping[str, tf.Tensor]) -> bytes:
    # A server warms up the model that holds the file, whatever its name.
    spec = _field(_NAME, b"default")
    spec += _field(_SIGNATURE_NAME, signature.encode())
    request = _field(_SPEC, spec)
    for name, value in inputs.items():
        tensor = tf.make_tensor_proto(value).SerializeToString()
        entry = _field(_KEY, name.encode()) + _field(_VALUE, tensor)
        request += _field(_INPUTS, entry)
    return _field(_PREDICT_LOG, _field(_REQUEST, request))


def _field(number: int, content: bytes) -> bytes:
    """Encodes a field of a length that is written before it."""
    return (
        _varint(number << 3 | _LENGTH_DELIMITED)
        + _varint(len(content))
        + content
    )


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth says that more follow."""
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])
