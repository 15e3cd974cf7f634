"""Rounded weights are near, and pack to half."""

import zlib

import keras
import numpy as np
import pytest
from saved import save_run

import tfgan_robust as tr
from experiments import rounding
from tfgan_robust.errors import UsageError
from tfgan_robust.runs.stored import load_run_config


def test_numbers_keep_their_first_bits_at_any_exponent():
    drawn = np.random.default_rng(0).normal(size=10_000).astype(np.float32)
    for scale in (1e-30, 1.0, 1e30):
        weights = drawn * np.float32(scale)
        found = rounding.rounded(weights)
        assert found.dtype == np.float32
        np.testing.assert_allclose(
            found, weights, rtol=2.0**-rounding.BITS, atol=0
        )
        np.testing.assert_array_equal(rounding.rounded(found), found)
        low = found.view(np.uint32) & ((1 << (24 - rounding.BITS)) - 1)
        assert not low.any()
    exact = np.array([0, -0.0, 1, -1.5, 255], np.float32)
    np.testing.assert_array_equal(rounding.rounded(exact), exact)
    packed = len(zlib.compress(rounding.rounded(drawn).tobytes()))
    assert packed < 0.6 * len(zlib.compress(drawn.tobytes()))


def test_a_rounded_classifier_is_a_run_like_any_other(tmp_path):
    run, output = tmp_path / "run", tmp_path / "rounded"
    model = save_run(run)
    rounding.round_classifier(run, output, "best")
    found = tr.load_classifier(run_dir=output, checkpoint="best")
    assert found.num_classes == 10
    loaded = keras.models.load_model(output / "best" / "classifier.keras")
    for one, other in zip(
        loaded.get_weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, rounding.rounded(other))
    settings = load_run_config(output)
    assert settings == load_run_config(run)
    with pytest.raises(UsageError, match="is in use; choose another `output`"):
        rounding.round_classifier(run, output, "best")
    with pytest.raises(UsageError, match="has no last classifier"):
        rounding.round_classifier(run, tmp_path / "other")
    assert not (tmp_path / "other").exists()
