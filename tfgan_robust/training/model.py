"""The min-max game as a Keras model, equation 5 of the paper.

    min_D max_G  clean_weight * L(D(x), y)
                 + adversarial_weight * mean_i L(D(x + eps G_i(I)), y)

The classifier D descends, the generators G_i ascend; L is the cross-entropy.
Gradient attacks and no attack at all take the generators' place for the
baselines (`adversaries.py`), in the same training step.
"""

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tfgan_robust.errors import UsageError
from tfgan_robust.networks.logits import attacked_logits, classifier_logits
from tfgan_robust.networks.losses import cross_entropy
from tfgan_robust.runs.config import TrainConfig
from tfgan_robust.training.adversaries import Point, build_adversary, fold_in


@keras.saving.register_keras_serializable(package="tfgan_robust")
class AdversarialClassifier(keras.Model):
    """A classifier, and the adversaries against which it is trained.

    Calling the model calls the classifier. Every network, the model and the
    optimizers must be created in one strategy's scope.

    Args:
        classifier: From float32 [batch, height, width, channels] in [0, 1]
            to logits [batch, num_classes].
        generators: From the input of `config.formulation` to float32
            [batch, height, width, channels] in [-1, 1]; empty unless
            `config.method` is "gan".
        config: The settings of the objective and of the adversaries.
        **kwargs: For `keras.Model`.

    Raises:
        UsageError: if the number of generators is not the configuration's.
    """

    def __init__(
        self,
        classifier: keras.Model,
        generators: Sequence[keras.Model],
        config: TrainConfig,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.config = config
        expected = self.config.num_generators if self.is_gan else 0
        if len(generators) != expected:
            raise UsageError(
                f"Method {self.config.method} with "
                f"num_generators={self.config.num_generators} needs "
                f"{expected} generators. Received: {len(generators)}."
            )
        self.classifier = classifier
        self.generators = list(generators)
        self.generator_optimizers: list[keras.Optimizer] = []
        self.adversary = build_adversary(
            attacked_logits(classifier, config.attack_mode),
            self.generators,
            self.config,
        )
        self.noise_seed = keras.random.SeedGenerator(self.config.seed)
        self.trackers = {
            name: keras.metrics.Mean(name=name) for name in self._log_names()
        }
        # The same means where training looks at clean images too: Keras
        # knows metrics by their names.
        self.test_trackers = {
            name: self.trackers.get(name) or keras.metrics.Mean(name=name)
            for name in ("clean_loss", "clean_accuracy")
        }
        self.built = True

    @property
    def is_gan(self) -> bool:
        """Whether generators perturb the images."""
        return self.config.method == "gan"

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Running means of what `train_step` and `test_step` report."""
        return list({**self.trackers, **self.test_trackers}.values())

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns the classifier's logits."""
        return self.classifier(images, training=training)

    def compile(
        self,
        optimizer: keras.Optimizer,
        generator_optimizers: Sequence[keras.Optimizer] = (),
        **kwargs: Any,
    ) -> None:
        """Sets the optimizers and creates their variables.

        Args:
            optimizer: The classifier's.
            generator_optimizers: One for each generator.
            **kwargs: For `keras.Model.compile`, such as `jit_compile`.

        Raises:
            UsageError: unless there is one optimizer for each generator.
        """
        if len(generator_optimizers) != len(self.generators):
            raise UsageError(
                "Each generator needs its own optimizer: "
                f"{len(self.generators)}. "
                f"Received: {len(generator_optimizers)}."
            )
        super().compile(optimizer=optimizer, **kwargs)
        self.generator_optimizers = list(generator_optimizers)
        # Built here, each on its own network: Keras would build the first on
        # all variables, and restores only what is built.
        for player in self._players():
            player.optimizer.build(player.network.trainable_variables)

    def train_step(self, data: tuple[tf.Tensor, tf.Tensor]) -> dict[str, Any]:
        """Updates generators and classifier on one batch.

        Args:
            data: Images, float32 [batch, height, width, channels] in [0, 1],
                and labels, integer [batch].

        Returns:
            The running means of `metrics`.
        """
        images, labels = data
        point = self.adversary.prepare(images, labels, self._next_seed())
        simultaneous = self.is_gan and self.config.update == "simultaneous"
        logs: dict[str, tf.Tensor] = {}
        if self.is_gan and not simultaneous:
            for call in range(self.config.generator_updates):
                logs |= self._update_generators(point, labels, call)
        scale = _loss_scale(self.optimizer)
        with tf.GradientTape() as tape:
            with (
                contextlib.nullcontext()
                if simultaneous
                else (tape.stop_recording())
            ):
                perturbed = self.adversary.perturb(
                    point, self.config.generator_updates
                )
            loss, terms = self._classifier_loss(images, perturbed, labels)
            scaled = loss * scale
        players = self._players() if simultaneous else self._players()[:1]
        gradients = tape.gradient(scaled, _trainable_variables(players))
        if simultaneous:
            gradients = self._shared_gradients(gradients)
        scales = [scale] * len(players)
        logs |= terms | self._descend(players, gradients, scales)
        logs |= self._perturbation_sizes(images, perturbed)
        return _update(self.trackers, logs)

    def test_step(self, data: tuple[tf.Tensor, tf.Tensor]) -> dict[str, Any]:
        """Measures loss and accuracy on clean images.

        For accuracy under attack see `evaluation.py`.
        """
        images, labels = data
        logits = self.classifier(images, training=False)
        terms = {"clean": (cross_entropy(labels, logits), logits)}
        return _update(self.test_trackers, _loss_and_accuracy(terms, labels))

    def get_config(self) -> dict[str, Any]:
        """Returns networks and settings, for `.keras` files."""
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "classifier": serialize(self.classifier),
            "generators": [serialize(g) for g in self.generators],
            "config": dataclasses.asdict(self.config),
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> "AdversarialClassifier":
        """Rebuilds the model from `get_config`."""
        deserialize = keras.saving.deserialize_keras_object
        rest = dict(config)
        return cls(
            deserialize(rest.pop("classifier"), custom_objects),
            [deserialize(g, custom_objects) for g in rest.pop("generators")],
            TrainConfig(**rest.pop("config")),
            **rest,
        )

    def save_own_variables(self, store: Any) -> None:
        """Adds the seeds, which Keras leaves out, to a `.keras` file."""
        super().save_own_variables(store)
        for index, seed in enumerate(self._seeds()):
            store[f"seed_{index}"] = seed.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Restores what `save_own_variables` wrote."""
        names = list(store.keys())
        rest = {name: store[name] for name in names}
        for index, seed in enumerate(self._seeds()):
            seed.assign(rest.pop(f"seed_{index}"))
        super().load_own_variables(rest)

    def get_compile_config(self) -> dict[str, Any]:
        """Returns the optimizers, for `.keras` files."""
        serialize = keras.saving.serialize_keras_object
        return {
            "jit_compile": self.jit_compile,
            "optimizer": serialize(self.optimizer),
            "generator_optimizers": [
                serialize(o) for o in self.generator_optimizers
            ],
        }

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles with the optimizers of `get_compile_config`."""
        deserialize = keras.saving.deserialize_keras_object
        self.compile(
            deserialize(config["optimizer"]),
            [deserialize(o) for o in config["generator_optimizers"]],
            jit_compile=config["jit_compile"],
        )

    def _players(self) -> list["_Player"]:
        """The classifier, then the generators, each with its optimizer."""
        names = [
            "classifier",
            *(self._perturbed_names() if self.is_gan else []),
        ]
        networks = [self.classifier, *self.generators]
        optimizers = [self.optimizer, *self.generator_optimizers]
        return [
            _Player(*player)
            for player in zip(names, networks, optimizers, strict=True)
        ]

    def _seeds(self) -> list[keras.Variable]:
        """The states of all noise: dropout's, and the adversaries'."""
        return [
            variable
            for variable in self.variables
            if variable.path.endswith("seed_generator_state")
        ]

    def _next_seed(self) -> tf.Tensor:
        seed = tf.cast(self.noise_seed.next(), tf.int32)
        replica = tf.distribute.get_replica_context()
        index = replica.replica_id_in_sync_group if replica else 0
        return fold_in(seed, index)

    def _update_generators(
        self, point: Point, labels: tf.Tensor, call: int
    ) -> dict[str, tf.Tensor]:
        """One ascent step of every generator; the classifier stays."""
        logits_fn = classifier_logits(
            self.classifier, self.config.generator_mode
        )
        players = self._players()[1:]
        scales = [_loss_scale(player.optimizer) for player in players]
        with tf.GradientTape() as tape:
            losses = [
                tf.nn.compute_average_loss(cross_entropy(labels, logits_fn(b)))
                for b in self.adversary.perturb(point, call)
            ]
            scaled = [
                -loss * scale
                for loss, scale in zip(losses, scales, strict=True)
            ]
        gradients = tape.gradient(scaled, _trainable_variables(players))
        return self._descend(players, gradients, scales)

    def _classifier_loss(
        self, images: tf.Tensor, perturbed: list[tf.Tensor], labels: tf.Tensor
    ) -> tuple[tf.Tensor, dict[str, Any]]:
        """Equation 5 on one batch, and each term by name."""
        batches = dict(zip(self._perturbed_names(), perturbed, strict=True))
        if self.config.clean_weight > 0:
            batches = {"clean": images, **batches}
        logits = self._train_logits(list(batches.values()))
        terms = {
            name: (cross_entropy(labels, batch_logits), batch_logits)
            for name, batch_logits in zip(batches, logits, strict=True)
        }
        share = self.config.adversarial_weight / max(len(perturbed), 1)
        logs = _loss_and_accuracy(terms, labels)
        logs["loss"] = tf.add_n(
            [
                (self.config.clean_weight if name == "clean" else share)
                * per_example
                for name, (per_example, _) in terms.items()
            ]
        )
        return tf.nn.compute_average_loss(logs["loss"]), logs

    def _train_logits(self, batches: list[tf.Tensor]) -> list[tf.Tensor]:
        """Runs the classifier in training mode as `batching` says."""
        if self.config.batching == "separate":
            return [self.classifier(b, training=True) for b in batches]
        joint = self.classifier(tf.concat(batches, 0), training=True)
        return tf.split(joint, len(batches))

    def _shared_gradients(
        self, gradients: list[list[tf.Tensor]]
    ) -> list[list[tf.Tensor]]:
        """Turns the shared pass's gradients into those of each player.

        The shared loss holds each generator's loss with weight
        adversarial_weight / num_generators, and generators ascend.
        """
        factor = -len(self.generators) / self.config.adversarial_weight
        if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            # One overflow makes all skip the step, so that all loss scales
            # stay equal: the pass has but one.
            total = tf.add_n([tf.reduce_sum(g) for g in sum(gradients, [])])
            gradients = [
                [g + (total - total) for g in player] for player in gradients
            ]
        return [
            gradients[0],
            *([g * factor for g in player] for player in gradients[1:]),
        ]

    @staticmethod
    def _descend(
        players: list["_Player"],
        gradients: list[list[tf.Tensor]],
        scales: list[tf.Tensor],
    ) -> dict[str, tf.Tensor]:
        """Applies scaled gradients; returns their norms, scale taken out."""
        norms = {}
        for player, scaled, scale in zip(
            players, gradients, scales, strict=True
        ):
            player.optimizer.apply(scaled, player.network.trainable_variables)
            norm = tf.linalg.global_norm(scaled) / scale
            norms[f"{player.name}_gradient_norm"] = norm
        return norms

    def _perturbed_names(self) -> list[str]:
        if self.is_gan:
            count = self.config.num_generators
            return [f"generator_{index}" for index in range(count)]
        return [] if self.config.method == "natural" else ["attack"]

    def _log_names(self) -> list[str]:
        clean = ["clean"] if self.config.clean_weight > 0 else []
        perturbed = self._perturbed_names()
        names = ["loss"]
        for batch in [*clean, *perturbed]:
            names += [f"{batch}_loss", f"{batch}_accuracy"]
        for batch in perturbed:
            names += [f"{batch}_perturbation_linf", f"{batch}_perturbation_l2"]
        networks = ["classifier", *(perturbed if self.is_gan else [])]
        return names + [f"{network}_gradient_norm" for network in networks]

    def _perturbation_sizes(
        self, images: tf.Tensor, perturbed: list[tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        logs = {}
        for name, batch in zip(self._perturbed_names(), perturbed, strict=True):
            change = batch - images
            logs[f"{name}_perturbation_linf"] = tf.reduce_max(
                tf.abs(change), axis=[1, 2, 3]
            )
            logs[f"{name}_perturbation_l2"] = tf.sqrt(
                tf.reduce_sum(tf.square(change), axis=[1, 2, 3])
            )
        return logs


class _Player(NamedTuple):
    """A network and its optimizer, by the name of its figures."""

    name: str
    network: keras.Model
    optimizer: keras.Optimizer


def _trainable_variables(
    players: list[_Player],
) -> list[list[keras.Variable]]:
    return [player.network.trainable_variables for player in players]


def _loss_scale(optimizer: keras.Optimizer) -> tf.Tensor:
    """What an optimizer expects its gradients to be multiplied with."""
    return optimizer.scale_loss(tf.constant(1.0))


def _update(
    trackers: dict[str, keras.metrics.Mean], logs: dict[str, tf.Tensor]
) -> dict[str, tf.Tensor]:
    for name, tracker in trackers.items():
        tracker.update_state(logs[name])
    return {name: tracker.result() for name, tracker in trackers.items()}


def _loss_and_accuracy(
    terms: dict[str, tuple[tf.Tensor, tf.Tensor]], labels: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Per-example losses and hits of each batch, by name."""
    logs = {}
    for name, (per_example, logits) in terms.items():
        hits = tf.equal(tf.argmax(logits, -1, labels.dtype), labels)
        logs[f"{name}_loss"] = per_example
        logs[f"{name}_accuracy"] = tf.cast(hits, tf.float32)
    return logs
