"""The min-max game as a Keras model, equation 5 of the paper.

    min_D max_G  clean_weight * L(D(x), y)
                 + adversarial_weight * mean_i L(D(x + eps G_i(I)), y)

The classifier D descends, the generators G_i ascend; L is the cross-entropy.
Other methods of training perturb the images otherwise, and may have another
loss (`methods/base.py`).
"""

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfgan_robust.classifiers.images import check_training_data
from tfgan_robust.errors import UsageError
from tfgan_robust.methods.base import Perturbed, build_method, fold_in
from tfgan_robust.methods.settings import MethodSettings
from tfgan_robust.networks.logits import classifier_logits, copy_network
from tfgan_robust.networks.losses import cross_entropy
from tfgan_robust.networks.shapes import input_shape_of, shapes_of
from tfgan_robust.training import metrics, weights
from tfgan_robust.training.averaging import AveragedStatistics, Looked
from tfgan_robust.training.examples import unpack
from tfgan_robust.training.keras_file import KerasFile
from tfgan_robust.training.memory import GradientMemory, recall
from tfgan_robust.training.optimizers import spare_vectors
from tfgan_robust.training.players import Player, descend, follow
from tfgan_robust.training.refinements import NONE, Refinements


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
        refinements: What is added to the method.
        remembered: How many training images there are, for a method that
            remembers gradients, which then takes batches of
            `data.batches.training_batches` with places.
        **kwargs: For `keras.Model`.

    Attributes:
        averaged: The moving average of the classifier, if it is averaged.

    Raises:
        UsageError: for an unknown method, a wrong number of generators, or a
            method that remembers without `remembered`.

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
        refinements: Refinements = NONE,
        remembered: int = 0,
        **kwargs: Any,
    ) -> None:
        # Each network casts its own inputs.
        super().__init__(**{"dtype": "float32", **kwargs})
        self.classifier = classifier
        self.generators = list(generators)
        self.generator_optimizers: list[keras.Optimizer] = []
        self.method = build_method(
            method, settings, eps, classifier, self.generators
        )
        self.method_name, self.seed = method, seed
        self.refinements = refinements
        self.method.label_smoothing = refinements.label_smoothing
        self.memory: GradientMemory | None = None
        if self.method.remembers:
            shape = input_shape_of(classifier)[1:]
            self.memory = GradientMemory(remembered, shape, seed)
        self.averaged: keras.Model | None = None
        if refinements.averaging:
            self.averaged = copy_network(classifier)
            self._statistics = AveragedStatistics(
                self.averaged, self.method, self.memory
            )
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

    @property
    def trained(self) -> keras.Model:
        """What training results in: the average if there is one."""
        return self.averaged or self.classifier

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns the logits of what training results in."""
        return self.trained(images, training=training)

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
        spare_vectors(optimizer, self.classifier)
        super().compile(optimizer=optimizer, **kwargs)
        if self.refinements.eps_warmup:
            # Who counts the steps is not known before.
            self.method.warmup = lambda: self.refinements.radius_at(
                self.optimizer.iterations
            )
        self.generator_optimizers = list(generator_optimizers)
        # Built here, each on its own network: Keras would build the first on
        # all variables, and restores only what is built.
        for player in self.players():
            player.optimizer.build(player.network.trainable_variables)

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Trains as `keras.Model.fit` does, then `recompute_statistics`.

        Of the batches, or of 30 if there are more, but for those of a
        `tf.distribute.DistributedDataset`.

        Args:
            x: Images, float32 [n, height, width, channels] in [0, 1], or
                batches of them with their labels.
            *args: See Keras.
            **kwargs: See Keras.

        Raises:
            UsageError: for images out of that range, labels that are no class
                numbers, or either of another type; of batches the first is
                looked at.
        """
        given = inspect.signature(super().fit).bind(x, *args, **kwargs)
        given.apply_defaults()
        _, num_classes = shapes_of(self.classifier)
        check_training_data(x, given.arguments["y"], num_classes)
        looked = Looked(x)
        history = super().fit(looked.source, *args, **kwargs)
        divided = isinstance(x, tf.distribute.DistributedDataset)
        if self.averaged is not None and not divided:
            batches = looked.again(
                given.arguments["y"],
                batch_size=given.arguments["batch_size"],
                validation_split=given.arguments["validation_split"],
                seed=self.seed,
            )
            self.recompute_statistics(batches)
        return history

    def recompute_statistics(self, batches: Iterable[Any]) -> None:
        """Recomputes what normalises the average of the classifier's weights.

        In training its statistics of batch normalisation merely follow those
        of the classifier, whose weights are others (arXiv:1803.05407, section
        3.1). Without an average nothing happens.

        Args:
            batches: As `train_step` takes them; some tens.
        """
        if self.averaged is not None:
            self._statistics.recompute(batches)

    def train_step(self, data: tuple[tf.Tensor, ...]) -> dict[str, Any]:
        """Updates generators and classifier on one batch.

        Args:
            data: Images, float32 [batch, height, width, channels] in [0, 1],
                labels, integer [batch], and, if the loss of some examples
                counts more than that of others, weights, float32 [batch].

        Returns:
            The running means of `metrics`, none of them weighted.
        """
        images, labels, importance = unpack(data)
        method, memory = self.method, self.memory
        images, places, seen = recall(memory, images)
        logs: dict[str, tf.Tensor] = {}
        prepared = method.prepare(images, labels, self._next_seed(), **seen)
        for update in range(method.separate_updates):
            logs |= self._ascend(prepared, labels, importance, update)
        with tf.GradientTape() as tape:
            found = method.complete(prepared)
            loss, told = self._objective(
                tape, images, labels, importance, found
            )
        logs |= told
        players = self.players()
        movers = players[:1] if method.separate_updates else players
        logs |= descend(tape, [loss], movers)
        logs |= metrics.sizes(
            images, dict(zip(method.names, found.batches, strict=True))
        )
        if memory is not None:
            memory.write(places, found.gradient)
        if self.averaged is not None:
            momentum = self.refinements.momentum_at(self.optimizer.iterations)
            follow(self.averaged, self.classifier, momentum)
        return metrics.update(self.trackers, logs)

    def test_step(self, data: tuple[tf.Tensor, ...]) -> dict[str, Any]:
        """Measures loss and accuracy on clean images.

        For accuracy under attack see `evaluate_classifier`.
        """
        images, labels, _ = unpack(data)
        logits = {"clean": self.trained(images, training=False)}
        logs = metrics.answers(labels, logits)
        return metrics.update(self.test_trackers, logs)

    def players(self) -> list[Player]:
        """The classifier, then the generators, each with its optimizer."""
        own = Player(
            "classifier",
            self.classifier,
            self.optimizer,
            l2=self.refinements.l2,
        )
        others = zip(
            self.method.players,
            self.generators,
            self.generator_optimizers,
            strict=True,
        )
        ascent = -self.method.ascent
        return [own, *(Player(*each, factor=ascent) for each in others)]

    def _objective(
        self,
        tape: tf.GradientTape,
        images: tf.Tensor,
        labels: tf.Tensor,
        importance: tf.Tensor | None,
        found: Perturbed,
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Returns what is descended, a scalar, and what is told of it."""
        logs: dict[str, tf.Tensor] = {}

        def objective(classifier: Callable[..., tf.Tensor]) -> tf.Tensor:
            loss, answers = self._loss(classifier, images, labels, found)
            # What is told is of the weights that are trained, which are seen
            # first, not of where they are moved.
            logs.update({**answers, **logs, "loss": loss})
            return tf.nn.compute_average_loss(loss, importance)

        classify = self.classifier
        if self.refinements.weight_perturbation:
            with tape.stop_recording():
                steps = self._steps_up(objective)
            # Recorded from the variables on, so that these have the gradient
            # of there beside that of their own decay.
            moved = weights.moved(self.classifier, steps)
            classify = weights.with_weights(self.classifier, moved)
        loss = objective(classify)
        if self.classifier.losses:  # Such as weight decay by Keras.
            decay = tf.add_n(self.classifier.losses)
            loss += tf.nn.scale_regularization_loss(decay)
        return loss, logs

    def _loss(
        self,
        classifier: Callable[..., tf.Tensor],
        images: tf.Tensor,
        labels: tf.Tensor,
        found: Perturbed,
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Returns the loss of each example, and how they are answered."""
        method = self.method
        perturbed = dict(zip(method.names, found.batches, strict=True))
        logits = method.logits(classifier, images, perturbed)
        clean, others = logits.get("clean"), [logits[n] for n in method.names]
        loss = method.loss(labels, clean, others)
        extra = method.extra_loss(found, clean, others)
        if extra is not None:
            loss += extra
        return loss, metrics.answers(labels, logits)

    def _steps_up(
        self, objective: Callable[[keras.Model], tf.Tensor]
    ) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = objective(self.classifier)
        length = self.refinements.perturbation_at(self.optimizer.iterations)
        return weights.steps_up(self.classifier, tape, loss, length)

    def _next_seed(self) -> tf.Tensor:
        seed = tf.cast(self.noise_seed.next(), tf.int32)
        replica = tf.distribute.get_replica_context()
        index = replica.replica_id_in_sync_group if replica else 0
        return fold_in(seed, index)

    def _ascend(
        self,
        prepared: Any,
        labels: tf.Tensor,
        importance: tf.Tensor | None,
        update: int,
    ) -> dict[str, tf.Tensor]:
        """One ascent step of every generator; the classifier stays."""
        logits_fn = classifier_logits(
            self.classifier, self.method.generator_mode
        )
        with tf.GradientTape() as tape:
            per_example = [
                cross_entropy(labels, logits_fn(batch))
                for batch in self.method.complete(prepared, update).batches
            ]
            losses = [
                tf.nn.compute_average_loss(each, importance)
                for each in per_example
            ]
        return descend(tape, losses, self.players()[1:])
