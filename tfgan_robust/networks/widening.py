"""Networks whose variables are not float32, with variables that are.

Keras's "mixed" policies have float32 variables, "bfloat16", "float16" and
"float64" have not: whoever computes by another policy would still have the
variables of theirs.
"""

from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf

from tfgan_robust.errors import UsageError, in_one_line
from tfgan_robust.networks.policy import under_policy
from tfgan_robust.networks.substitutes import substituted

_FLOAT32 = "float32"


def not_float32(variables: Iterable[keras.Variable]) -> set[str]:
    """Returns the other dtypes of floats that variables have."""
    kinds = {tf.as_dtype(variable.dtype) for variable in variables}
    return {kind.name for kind in kinds if kind.is_floating} - {_FLOAT32}


def with_float32_variables(model: keras.Model) -> keras.Model:
    """Returns a model that computes in float32, with the weights of now.

    Args:
        model: Any Keras model that was built; one that has such variables
            already is returned as it is.

    Raises:
        UsageError: if Keras cannot make it anew from its configuration.
    """
    if not not_float32(model.variables):
        return model
    try:
        with under_policy(_FLOAT32), substituted():
            wide = type(model).from_config(_widened(model.get_config()))
            if not wide.built:
                wide.build_from_config(model.get_build_config())
        wide.set_weights(
            [
                weight
                if weight.dtype.kind in "biu"
                else weight.astype(_FLOAT32)
                for weight in model.get_weights()
            ]
        )
    # Custom code surfaces as almost anything.
    except Exception as error:
        raise UsageError(
            "A model whose variables are not float32 is made anew from its "
            f"configuration, and Keras cannot do that ({in_one_line(error)}); "
            f"build it in {_FLOAT32}."
        ) from None
    return wide


def _widened(config: Any) -> Any:
    """Returns a configuration in which every policy is float32."""
    if isinstance(config, list | tuple):
        return type(config)(map(_widened, config))
    if not isinstance(config, dict):
        return config
    return {
        key: _FLOAT32 if key == "dtype" and _floats(value) else _widened(value)
        for key, value in config.items()
    }


def _floats(dtype: Any) -> bool:
    """Tells whether a dtype, or the policy of a layer, is of floats."""
    if isinstance(dtype, dict):
        dtype = dtype.get("config", {}).get("name", "")
    return "float" in str(dtype)
