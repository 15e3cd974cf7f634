"""What generators see, against equations 6 to 9 of the paper."""

import numpy as np
import pytest

from tfgan_robust.attacks import formulations
from tfgan_robust.runs import config

BATCH, SIDE, LATENT = 2, 4, 5


@pytest.fixture
def parts():
    generator = np.random.default_rng(0)

    def noise(channels):
        shape = (BATCH, SIDE, SIDE, channels)
        return generator.standard_normal(shape).astype(np.float32)

    return {
        "images": noise(3),
        "gradient_sign": np.sign(noise(3)),
        "noise": noise(LATENT),
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x", ["images"]),
        ("xz", ["images", "noise"]),
        ("grad", ["gradient_sign"]),
        ("grad_x", ["gradient_sign", "images"]),
    ],
)
def test_inputs_are_the_papers(parts, name, expected):
    inputs = formulations.FORMULATIONS[name](**parts)
    wanted = np.concatenate([parts[part] for part in expected], axis=-1)
    np.testing.assert_array_equal(inputs, wanted)


@pytest.mark.parametrize("name", formulations.FORMULATIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_channels_are_those_of_the_input(parts, name, channels):
    parts["images"] = parts["images"][..., :channels]
    parts["gradient_sign"] = parts["gradient_sign"][..., :channels]
    inputs = formulations.FORMULATIONS[name](**parts)
    assert inputs.shape == (
        BATCH,
        SIDE,
        SIDE,
        formulations.input_channels(name, channels, LATENT),
    )


@pytest.mark.parametrize("name", formulations.FORMULATIONS)
def test_the_gradient_is_needed_where_it_is_looked_at(parts, name):
    build_input = formulations.FORMULATIONS[name]
    inputs = np.asarray(build_input(**parts))
    parts["gradient_sign"] = -parts["gradient_sign"]
    changes = not np.array_equal(inputs, build_input(**parts))
    assert formulations.needs_gradient(name) == changes


def test_settings_know_every_formulation():
    assert tuple(formulations.FORMULATIONS) == config.FORMULATION_NAMES
