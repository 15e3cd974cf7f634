"""Compiles attacks, and other functions of a classifier, once for each."""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfgan_robust.attacks.engine.execution import JIT_CHOICES
from tfgan_robust.errors import UsageError
from tfgan_robust.networks.logits import LogitsFn


def resolve_jit_compile(choice: str, *, deterministic: bool = False) -> bool:
    """Decides whether XLA compiles attacks.

    Args:
        choice: "true", "false", or "auto": XLA on a GPU, unless operations
            must be deterministic (max-pooling's gradient has no such kernel
            there); the plain graph on a CPU, where its convolutions are
            faster.
        deterministic: Whether operations must be deterministic.

    Returns:
        Whether to compile with XLA.

    Raises:
        UsageError: for any other choice.
    """
    if choice not in JIT_CHOICES:
        raise UsageError(
            f"`jit_compile` must be one of {', '.join(JIT_CHOICES)}. "
            f"Received: {choice!r}."
        )
    if choice != "auto":
        return choice == "true"
    return bool(tf.config.list_physical_devices("GPU")) and not deterministic


def as_graph(function: Callable[..., Any], *, jit_compile: bool) -> Any:
    """Compiles a function that is made anew for each classifier.

    TensorFlow counts how often the same code is traced, and would warn its
    user of what belongs to other classifiers; it does not look into a partial
    function.

    Args:
        function: Of tensors.
        jit_compile: Whether XLA compiles it.

    Returns:
        A `tf.function`.
    """
    return tf.function(
        functools.partial(function), jit_compile=jit_compile, autograph=False
    )


def compile_attack(
    attack: Callable[..., tf.Tensor], logits_fn: LogitsFn, *, jit_compile: bool
) -> Callable[..., tf.Tensor]:
    """Binds an attack to a classifier as one graph.

    Args:
        attack: Of a logits function, images, labels and numbers by name, such
            as `pgd`.
        logits_fn: The classifier in inference mode.
        jit_compile: Whether XLA compiles it; then keep batches of one size.

    Returns:
        A function of images, labels and the numbers; new values of those do
        not trace it anew.
    """

    def attacked(
        images: tf.Tensor, labels: tf.Tensor, numbers: dict[str, tf.Tensor]
    ) -> tf.Tensor:
        return attack(logits_fn, images, labels, **numbers)

    compiled = as_graph(attacked, jit_compile=jit_compile)

    def run(images: tf.Tensor, labels: tf.Tensor, **numbers: Any) -> tf.Tensor:
        tensors = {k: tf.convert_to_tensor(v) for k, v in numbers.items()}
        return compiled(images, labels, tensors)

    return run
