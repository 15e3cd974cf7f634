"""The classifier under audit, and the attacks that were run on it."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfgan_robust.attacks.compile import as_graph, resolve_jit_compile
from tfgan_robust.attacks.engine.execution import Execution
from tfgan_robust.attacks.engine.runner import AttackRunner
from tfgan_robust.attacks.pgd import pgd
from tfgan_robust.attacks.plan import follows_gradient, parse_attack
from tfgan_robust.classifiers.classifier import Classifier

# White-box attacks beside PGD-100, cheapest first; and one that they add
# nothing to.
WHITE_BOX = ("pgd-50-margin", "apgd-ce-50", "apgd-t-20")
STRONGER = "autoattack-fast"
_PGD_STEPS = 10


@dataclasses.dataclass
class AuditContext:
    """What the checks of an audit have to work with.

    Attacks run once, however many checks ask for them.

    Attributes:
        classifier: The classifier.
        images: uint8 [N, height, width, channels].
        labels: Integer [N].
        eps: L-infinity radius on the [0, 1] pixel scale.
        measured: By an attack's name, bool [N], correct under it at `eps`
            with protocol "worst"; these attacks are not run again.
        undefended: A network of the same shape, trained without a defence.
        surrogates: Other networks, robust ones too, whose gradients may fool
            it.
        execution: Batch size, seed and compilation of all attacks.
        reported: bool [N], correct under all that is reported at `eps`; None
            for all of `measured`.
        largest_batch: Images in a batch of what was measured; 0 for as many
            as in the audit's.
        forward_passes: Of the classifier, on single images, so far.
        backward_passes: On single images, so far.
    """

    classifier: Classifier
    images: np.ndarray
    labels: np.ndarray
    eps: float
    measured: Mapping[str, np.ndarray]
    undefended: Classifier | None = None
    surrogates: Sequence[Classifier] = ()
    execution: Execution = Execution()
    reported: np.ndarray | None = None
    largest_batch: int = 0
    forward_passes: int = 0
    backward_passes: int = 0

    def __post_init__(self) -> None:
        self._found: dict[tuple[Any, ...], np.ndarray] = {}
        self._attacked: dict[int, tf.Tensor] = {}
        self.largest_batch = self.largest_batch or self.execution.batch_size
        if self.reported is None and self.measured:
            masks = list(self.measured.values())
            self.reported = np.logical_and.reduce(masks)
        # By the functions themselves: an id may pass on to another one.
        self._runners: dict[tuple[Any, ...], AttackRunner] = {}
        self.variables_before = self.variables()
        # As one graph, however often it is called.
        self._graph = self._compile(self.classifier.logits_fn)
        self.first_logits = self.logits()

    def __len__(self) -> int:
        return len(self.labels)

    def variables(self) -> list[np.ndarray]:
        """Returns copies of all variables of the classifier."""
        return [np.array(v.numpy()) for v in self.classifier.variables]

    def correct_under(
        self,
        attack: str,
        *,
        eps: float | None = None,
        where: np.ndarray | None = None,
        classifier: Classifier | None = None,
        surrogate: Classifier | None = None,
        images: np.ndarray | None = None,
        labels: np.ndarray | None = None,
    ) -> np.ndarray:
        """Runs an attack, unless its outcome is known already.

        Args:
            attack: Its name, for `parse_attack`.
            eps: L-infinity radius on the [0, 1] pixel scale, if not the
                audit's.
            where: bool [N], which images to attack; None for all.
            classifier: Whose verdict counts, if not the audited one's.
            surrogate: Whose gradient is followed, if another's.
            images: Others in the images' place, uint8, shaped alike.
            labels: Others in the labels' place, integer [N].

        Returns:
            bool [N], correct under the attack; of images outside `where`,
            True unless more is known.
        """
        radius = self.eps if eps is None else eps
        if (
            (attack in self.measured and radius == self.eps)
            and classifier is None
            and surrogate is None
            and images is None
            and labels is None
        ):
            return self.measured[attack]
        if where is None:
            where = np.ones(len(self), bool)
        runner = self._runner(classifier or self.classifier, surrogate)
        images = self.images if images is None else images
        labels = self.labels if labels is None else labels
        key = (
            runner, attack, radius, where.tobytes(),
            images.tobytes(), labels.tobytes(),
        )  # fmt: skip
        if key not in self._found:
            correct = np.ones(len(self), bool)
            if where.any():
                outcome = runner.measure(
                    parse_attack(attack, protocol="worst"),
                    images[where],
                    labels[where],
                    eps=radius,
                    seed=self.execution.seed,
                )
                correct[where] = outcome.correct
                for totals in outcome.totals:
                    self.count(totals.forward_passes, totals.backward_passes)
                # Of the clean images.
                self.count(int(np.count_nonzero(where)), 0)
            self._found[key] = correct
        return self._found[key]

    def pixels(self, which: slice | np.ndarray = slice(None)) -> tf.Tensor:
        """Returns images as float32 [n, height, width, channels] in [0, 1].

        Args:
            which: A part of them, or bool [N].
        """
        return tf.cast(self.images[which], tf.float32) / 255

    def attacked(self, count: int) -> tf.Tensor:
        """Returns what PGD makes of the first images, in the ball; made once.

        Args:
            count: Of how many.

        Returns:
            float32 [count, height, width, channels] in [0, 1].
        """
        if count not in self._attacked:
            self._attacked[count] = self._attack(count)
        return self._attacked[count]

    def _attack(self, count: int) -> tf.Tensor:
        self.count((_PGD_STEPS + 1) * count, _PGD_STEPS * count)
        return pgd(
            self.classifier.logits_fn,
            self.pixels(slice(count)),
            tf.constant(self.labels[:count], tf.int64),
            eps=self.eps,
            num_steps=_PGD_STEPS,
            seed=(self.execution.seed, 0),
        )

    def logits_fn(self, images: tf.Tensor) -> tf.Tensor:
        """The classifier's logits, as one graph; each call is counted."""
        self.count(len(images), 0)
        return self._graph(images)

    def eager_logits_fn(self, images: tf.Tensor) -> tf.Tensor:
        """The same, without a graph."""
        self.count(len(images), 0)
        return self.classifier.logits_fn(images)

    def count(self, forward: int, backward: int) -> None:
        """Adds passes on single images to what the audit took."""
        self.forward_passes += int(forward)
        self.backward_passes += int(backward)

    @property
    def clean_correct(self) -> np.ndarray:
        """Correct while clean, bool [N]."""
        return self.first_logits.argmax(axis=-1) == self.labels

    def clean_correct_of(self, other: Classifier) -> np.ndarray:
        """Returns which clean images another network gets right; bool [N]."""
        key = (other.logits_fn, "clean")
        if key not in self._found:
            runner = self._runner(other, None)
            self.count(len(self), 0)
            self._found[key] = runner.clean(self.images, self.labels).correct
        return self._found[key]

    @functools.cached_property
    def white_box_correct(self) -> np.ndarray:
        """Correct under all attacks that follow its own gradient; bool [N].

        Each attack is run only on images that those before it left correct.
        """
        correct = self.correct_under("pgd-100")
        measured = list(filter(follows_gradient, self.measured))
        more = () if STRONGER in measured else WHITE_BOX
        for name in (*measured, *more):
            correct = correct & self.correct_under(name, where=correct)
        return correct

    def _runner(
        self, classifier: Classifier, surrogate: Classifier | None
    ) -> AttackRunner:
        """One for each pair, so that each attack is compiled once."""
        followed = surrogate.logits_fn if surrogate else None
        key = (classifier.logits_fn, followed)
        if key not in self._runners:
            self._runners[key] = AttackRunner(
                classifier.logits_fn,
                classifier.num_classes,
                batch_size=self.execution.batch_size,
                jit_compile=self.execution.jit_compile,
                surrogate=followed,
            )
        return self._runners[key]

    def logits(self) -> np.ndarray:
        """Returns the logits of all clean images, [N, num_classes]."""
        return np.concatenate(
            [self.logits_fn(images).numpy() for images, *_ in self._batches()]
        )

    def map_batches(
        self,
        function: Callable[..., tuple[tf.Tensor, ...]],
        *,
        forward: int,
        backward: int,
    ) -> tuple[np.ndarray, ...]:
        """Maps a function of images, labels and a seed over all batches.

        Args:
            function: From float32 [batch, height, width, channels] in [0, 1],
                int64 [batch] and int32 [2] to tensors [batch, ...].
            forward: Passes that it takes for each image.
            backward: Passes that it takes for each image.

        Returns:
            Its results for all images.
        """
        self.count(forward * len(self), backward * len(self))
        compiled = self._compile(function)
        parts = [compiled(*batch) for batch in self._batches()]
        return tuple(map(np.concatenate, zip(*parts, strict=True)))

    def _compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        jit_compile = resolve_jit_compile(self.execution.jit_compile)
        return as_graph(function, jit_compile=jit_compile)

    def _batches(self) -> Iterator[tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
        for start in range(0, len(self), self.execution.batch_size):
            batch = slice(start, start + self.execution.batch_size)
            yield (
                self.pixels(batch),
                tf.constant(self.labels[batch], tf.int64),
                tf.constant([self.execution.seed, start], tf.int32),
            )
