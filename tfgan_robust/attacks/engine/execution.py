"""How attacks are run, apart from what they do; needs no TensorFlow."""

import dataclasses

from tfgan_robust.errors import UsageError

# Whether XLA compiles attacks; "auto" means on a GPU only.
JIT_CHOICES = ("auto", "true", "false")
# Of the gradients that attacks follow; verdicts are always float32's.
GRADIENT_PRECISIONS = ("float32", "bfloat16")


@dataclasses.dataclass(frozen=True)
class Execution:
    """What everything that attacks a classifier is told alike.

    Attributes:
        batch_size: Images in a batch, at least 1.
        seed: Seed of everything that is drawn, at least 0.
        jit_compile: "auto", "true" or "false"; see
            `attacks.compile.resolve_jit_compile`.

    Raises:
        UsageError: for a `batch_size` below 1 or a `seed` below 0.
    """

    batch_size: int = 128
    seed: int = 0
    jit_compile: str = "auto"

    def __post_init__(self) -> None:
        for name, least in (("batch_size", 1), ("seed", 0)):
            value = getattr(self, name)
            if value < least:
                raise UsageError(
                    f"`{name}` must be at least {least}. Received: {value}."
                )

    def for_images(self, count: int) -> "Execution":
        """Returns the same with batches of no more than so many images."""
        return dataclasses.replace(self, batch_size=min(self.batch_size, count))
