"""The classifier under audit, and the attacks that were run on it."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfgan_robust.attacks.compile import resolve_jit_compile
from tfgan_robust.attacks.engine.execution import Execution
from tfgan_robust.attacks.engine.runner import AttackRunner
from tfgan_robust.attacks.plan import follows_gradient, parse_attack
from tfgan_robust.classifiers.loading import Classifier

# White-box attacks beside PGD-100, cheapest first.
WHITE_BOX = ("pgd-100-margin", "apgd-ce", "apgd-t")


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
        execution: Batch size, seed and compilation of all attacks.
    """

    classifier: Classifier
    images: np.ndarray
    labels: np.ndarray
    eps: float
    measured: Mapping[str, np.ndarray]
    undefended: Classifier | None = None
    execution: Execution = Execution()

    def __post_init__(self) -> None:
        self._found: dict[tuple[str, float, int], np.ndarray] = {}
        self._runners: dict[tuple[int, int], AttackRunner] = {}
        self.variables_before = self.variables()
        # As one graph, however often it is called.
        self.logits_fn = self._compile(self.classifier.logits_fn)

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
        classifier: Classifier | None = None,
    ) -> np.ndarray:
        """Runs an attack on all images, unless that is known already.

        Args:
            attack: Its name, for `parse_attack`.
            eps: Radius, if not the audit's.
            classifier: Another classifier than the audited one.

        Returns:
            bool [N], correct under the attack.
        """
        radius = self.eps if eps is None else eps
        if classifier is None:
            if radius == self.eps and attack in self.measured:
                return self.measured[attack]
            classifier = self.classifier
        key = (attack, radius, id(classifier))
        if key not in self._found:
            everything = np.ones(len(self), bool)
            self._found[key] = self.attack(
                attack, radius, classifier, everything
            )
        return self._found[key]

    @functools.cached_property
    def white_box_correct(self) -> np.ndarray:
        """Correct under all attacks that follow its own gradient; bool [N].

        Each attack is run only on images that those before it left correct.
        """
        correct = self.correct_under("pgd-100").copy()
        for name, mask in self.measured.items():
            if follows_gradient(name):
                correct &= mask
        for name in WHITE_BOX:
            if name not in self.measured:
                correct &= self.attack(name, self.eps, self.classifier, correct)
        return correct

    def attack(
        self,
        attack: str,
        eps: float,
        classifier: Classifier,
        where: np.ndarray,
        surrogate: Classifier | None = None,
    ) -> np.ndarray:
        """Attacks some of the images.

        Args:
            attack: Its name, for `parse_attack`.
            eps: L-infinity radius on the [0, 1] pixel scale.
            classifier: Whose verdict counts.
            where: bool [N], which images.
            surrogate: Whose gradient is followed, if another's.

        Returns:
            bool [N], correct under the attack; True where there was none.
        """
        correct = np.ones(len(self), bool)
        if not where.any():
            return correct
        outcome = self._attack_runner(classifier, surrogate).measure(
            parse_attack(attack, protocol="worst"),
            self.images[where],
            self.labels[where],
            eps=eps,
            seed=self.execution.seed,
        )
        correct[where] = outcome.correct
        return correct

    def _attack_runner(
        self, classifier: Classifier, surrogate: Classifier | None
    ) -> AttackRunner:
        """One for each pair, so that each attack is compiled once."""
        key = (id(classifier), id(surrogate))
        if key not in self._runners:
            self._runners[key] = AttackRunner(
                classifier.logits_fn,
                classifier.num_classes,
                batch_size=self.execution.batch_size,
                jit_compile=self.execution.jit_compile,
                surrogate=surrogate.logits_fn if surrogate else None,
            )
        return self._runners[key]

    def logits(self) -> np.ndarray:
        """Returns the logits of all clean images, [N, num_classes]."""
        return np.concatenate(
            [self.logits_fn(images).numpy() for images, *_ in self._batches()]
        )

    def map_batches(
        self, function: Callable[..., tuple[tf.Tensor, ...]]
    ) -> tuple[np.ndarray, ...]:
        """Maps a function of images, labels and a seed over all batches.

        Args:
            function: From float32 [batch, height, width, channels] in [0, 1],
                int64 [batch] and int32 [2] to tensors [batch, ...].

        Returns:
            Its results for all images.
        """
        compiled = self._compile(function)
        parts = [compiled(*batch) for batch in self._batches()]
        return tuple(
            np.concatenate([np.asarray(part) for part in column])
            for column in zip(*parts, strict=True)
        )

    def _compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return tf.function(
            function,
            jit_compile=resolve_jit_compile(self.execution.jit_compile),
            autograph=False,
        )

    def _batches(self) -> Iterator[tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
        for start in range(0, len(self), self.execution.batch_size):
            batch = slice(start, start + self.execution.batch_size)
            yield (
                tf.cast(self.images[batch], tf.float32) / 255,
                tf.constant(self.labels[batch], tf.int64),
                tf.constant([self.execution.seed, start], tf.int32),
            )
