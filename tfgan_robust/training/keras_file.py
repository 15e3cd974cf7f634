"""How the min-max game goes into a `.keras` file, and comes out whole."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Self

import keras

from tfgan_robust.methods.base import Method
from tfgan_robust.methods.registry import settings_of
from tfgan_robust.networks.substitutes import substituted
from tfgan_robust.runs.config import BEFORE
from tfgan_robust.training.memory import GradientMemory
from tfgan_robust.training.refinements import Refinements


class KerasFile(keras.Model):
    """What Keras asks of a model that it saves and loads.

    Attributes:
        classifier: The network that is trained.
        generators: Those that perturb its images.
        generator_optimizers: One for each generator.
        method: How it is trained.
        method_name: One of `METHODS`.
        seed: Seed of all noise but dropout's.
        refinements: What is added to the method.
        memory: Of gradients, for a method that remembers.
    """

    classifier: keras.Model
    generators: Sequence[keras.Model]
    generator_optimizers: Sequence[keras.Optimizer]
    method: Method
    method_name: str
    seed: int
    refinements: Refinements
    memory: GradientMemory | None

    def get_config(self) -> dict[str, Any]:
        """Returns networks and method, for `.keras` files."""
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "classifier": serialize(self.classifier),
            "generators": [serialize(g) for g in self.generators],
            "method": self.method_name,
            "settings": dataclasses.asdict(self.method.settings),
            "eps": self.method.eps,
            "seed": self.seed,
            "refinements": dataclasses.asdict(self.refinements),
            "remembered": self.memory.num_images if self.memory else 0,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> Self:
        """Rebuilds the model from `get_config`."""
        deserialize = keras.saving.deserialize_keras_object
        rest = dict(config)
        # Older versions stored all settings of the run.
        run = rest.pop("config", None)
        if run is not None:
            rest |= {name: run[name] for name in ("method", "eps", "seed")}
            rest["settings"] = run
        if "refinements" not in rest:
            rest["settings"] = {**BEFORE, **rest["settings"]}
        rest["settings"] = settings_of(rest["method"], rest["settings"])
        rest["refinements"] = Refinements(**rest.get("refinements", {}))
        with substituted():
            classifier = deserialize(rest.pop("classifier"), custom_objects)
            generators = [
                deserialize(g, custom_objects) for g in rest.pop("generators")
            ]
        return cls(classifier, generators, **rest)

    def save_own_variables(self, store: Any) -> None:
        """Adds the seeds, which Keras leaves out, to a `.keras` file."""
        super().save_own_variables(store)
        for index, seed in enumerate(self._seeds()):
            store[f"seed_{index}"] = seed.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Restores what `save_own_variables` wrote."""
        rest = {name: store[name] for name in list(store.keys())}
        for index, seed in enumerate(self._seeds()):
            seed.assign(rest.pop(f"seed_{index}"))
        super().load_own_variables(rest)

    def get_compile_config(self) -> dict[str, Any]:
        """Returns the optimizers, for `.keras` files."""
        serialize = keras.saving.serialize_keras_object
        generators = [serialize(o) for o in self.generator_optimizers]
        return {
            "jit_compile": self.jit_compile,
            "optimizer": serialize(self.optimizer),
            "generator_optimizers": generators,
        }

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles with the optimizers of `get_compile_config`."""
        deserialize = keras.saving.deserialize_keras_object
        self.compile(
            deserialize(config["optimizer"]),
            [deserialize(o) for o in config["generator_optimizers"]],
            jit_compile=config["jit_compile"],
        )

    def _seeds(self) -> list[keras.Variable]:
        """The states of all noise: dropout's, and the method's."""
        return [
            variable
            for variable in self.variables
            if variable.path.endswith("seed_generator_state")
        ]
