"""The min-max game as a Keras model, equation 5 of the paper.

    min_D max_G  clean_weight * L(D(x), y)
                 + adversarial_weight * mean_i L(D(x + eps G_i(I)), y)

The classifier D descends, the generators G_i ascend; L is the cross-entropy.
Other methods of training perturb the images otherwise, and may have another
loss (`methods/base.py`).
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfgan_robust.classifiers.images import check_training_images
from tfgan_robust.errors import UsageError
from tfgan_robust.methods.base import build_method, fold_in
from tfgan_robust.methods.settings import MethodSettings
from tfgan_robust.networks.logits import classifier_logits
from tfgan_robust.networks.losses import cross_entropy
from tfgan_robust.training import metrics
from tfgan_robust.training.keras_file import KerasFile
from tfgan_robust.training.players import Player, descend


@keras.saving.register_keras_serializable(package="tfgan_robust")
class AdversarialClassifier(KerasFile):
    """A classifier, and the method by which it is trained.

    Calling the model calls the classifier. Every network, the model and the
    optimizers must be created in one strategy's scope.

    Args:
        classifier: From float32 [batch, height, width, channels] in [0, 1]
            to logits [batch, num_classes].
        generators: To float32 [batch, height, width, channels] in [-1, 1];
            as many as the method needs.
        method: One of `METHODS`.
        settings: The method's.
        eps: Radius of the perturbations on the [0, 1] pixel scale.
        seed: Seed of all noise but dropout's.
        **kwargs: For `keras.Model`.

    Raises:
        UsageError: for an unknown method or a wrong number of generators.

    Example:
        >>> import tfgan_robust as tr
        >>> config = tr.resolve({"method": "fgsm", "classifier_width": 0.1})
        >>> model = tr.build_model(config, (32, 32, 3), 10)
        >>> isinstance(model, AdversarialClassifier), len(model.generators)
        (True, 0)
    """

    def __init__(
        self,
        classifier: keras.Model,
        generators: Sequence[keras.Model] = (),
        *,
        method: str,
        settings: MethodSettings,
        eps: float,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.classifier = classifier
        self.generators = list(generators)
        self.generator_optimizers: list[keras.Optimizer] = []
        self.method = build_method(
            method, settings, eps, classifier, self.generators
        )
        self.method_name, self.seed = method, seed
        self.noise_seed = keras.random.SeedGenerator(seed)
        self.trackers = {
            name: keras.metrics.Mean(name=name)
            for name in metrics.names(self.method)
        }
        # The same means where training looks at clean images too: Keras
        # knows metrics by their names.
        self.test_trackers = {
            name: self.trackers.get(name) or keras.metrics.Mean(name=name)
            for name in ("clean_loss", "clean_accuracy")
        }
        self.built = True

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
        for player in self.players():
            player.optimizer.build(player.network.trainable_variables)

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Trains as `keras.Model.fit` does.

        Args:
            x: Images, float32 [n, height, width, channels] in [0, 1], or
                batches of them with their labels.
            *args: See Keras.
            **kwargs: See Keras.

        Raises:
            UsageError: for images out of that range, or of another type; of
                batches the first is looked at.
        """
        check_training_images(x)
        return super().fit(x, *args, **kwargs)

    def train_step(self, data: tuple[tf.Tensor, ...]) -> dict[str, Any]:
        """Updates generators and classifier on one batch.

        Args:
            data: Images, float32 [batch, height, width, channels] in [0, 1],
                labels, integer [batch], and, if the loss of some examples
                counts more than that of others, weights, float32 [batch].

        Returns:
            The running means of `metrics`, none of them weighted.
        """
        images, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
        method = self.method
        logs: dict[str, tf.Tensor] = {}
        prepared = method.prepare(images, labels, self._next_seed())
        for update in range(method.separate_updates):
            logs |= self._ascend(prepared, labels, weights, update)
        with tf.GradientTape() as tape:
            batches = method.complete(prepared)
            perturbed = dict(zip(method.names, batches, strict=True))
            logits = method.logits(self.classifier, images, perturbed)
            logs["loss"] = method.loss(
                labels, logits.get("clean"), [logits[n] for n in method.names]
            )
            loss = tf.nn.compute_average_loss(logs["loss"], weights)
            if self.classifier.losses:  # Such as weight decay by Keras.
                decay = tf.add_n(self.classifier.losses)
                loss += tf.nn.scale_regularization_loss(decay)
        players = self.players()
        movers = players[:1] if method.separate_updates else players
        logs |= descend(tape, [loss], movers)
        logs |= metrics.answers(labels, logits)
        logs |= metrics.sizes(images, perturbed)
        return metrics.update(self.trackers, logs)

    def test_step(self, data: tuple[tf.Tensor, ...]) -> dict[str, Any]:
        """Measures loss and accuracy on clean images.

        For accuracy under attack see `evaluate_classifier`.
        """
        images, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        logits = {"clean": self.classifier(images, training=False)}
        logs = metrics.answers(labels, logits)
        return metrics.update(self.test_trackers, logs)

    def players(self) -> list[Player]:
        """The classifier, then the generators, each with its optimizer."""
        factors = [1.0, *[-self.method.ascent] * len(self.generators)]
        networks = [self.classifier, *self.generators]
        optimizers = [self.optimizer, *self.generator_optimizers]
        names = metrics.networks(self.method)
        return [
            Player(*each)
            for each in zip(names, networks, optimizers, factors, strict=True)
        ]

    def _next_seed(self) -> tf.Tensor:
        seed = tf.cast(self.noise_seed.next(), tf.int32)
        replica = tf.distribute.get_replica_context()
        index = replica.replica_id_in_sync_group if replica else 0
        return fold_in(seed, index)

    def _ascend(
        self,
        prepared: Any,
        labels: tf.Tensor,
        weights: tf.Tensor | None,
        update: int,
    ) -> dict[str, tf.Tensor]:
        """One ascent step of every generator; the classifier stays."""
        logits_fn = classifier_logits(
            self.classifier, self.method.generator_mode
        )
        with tf.GradientTape() as tape:
            per_example = [
                cross_entropy(labels, logits_fn(batch))
                for batch in self.method.complete(prepared, update)
            ]
            losses = [
                tf.nn.compute_average_loss(each, weights)
                for each in per_example
            ]
        return descend(tape, losses, self.players()[1:])
