"""What a classifier answers on the way along perturbations (section 4.4)."""

import datetime
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.harness.options import Section
from experiments.harness.study import Study, Trial
from tfgan_robust.evaluation.radii import parse_eps

GAUSSIAN = "Gaussian noise"
# By name in the figure: the attack whose perturbation it is.
ATTACKS = {"FGSM": "fgsm", "PGD": "pgd-100", "generator": "generators"}
DIRECTIONS = (GAUSSIAN, *ATTACKS)
# Multiples of a direction, both ways.
POINTS = 65
_BATCH = 500
# What a figure says of how it was measured.
WHERE = ("data", "split", "date", "device")


class Walk(NamedTuple):
    """What was seen on the way along directions.

    Attributes:
        lengths: float32 [points], signed multiples of a direction, on the
            [0, 1] pixel scale.
        overtaken: float32 [directions, images], the smallest positive length
            at which another class has the largest logit; NaN for never.
        images: float32 [shown, height, width, channels] in [0, 1].
        labels: int64 [shown].
        perturbations: float32 [attacks, shown, height, width, channels].
        logits: float32 [directions, shown, points, classes].
        eps: The radius of the perturbations.
        class_names: Of the logits.
    """

    lengths: np.ndarray
    overtaken: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    perturbations: np.ndarray
    logits: np.ndarray
    eps: Any
    class_names: np.ndarray


def crossings(lengths: np.ndarray, logits: np.ndarray, labels: Any) -> Any:
    """Returns where another class overtakes the true one.

    Args:
        lengths: float32 [points], rising.
        logits: float32 [images, points, classes].
        labels: int64 [images].

    Returns:
        float32 [images], between points by linear interpolation of the
        margin; NaN where no class overtakes at a positive length.
    """
    rows = np.arange(len(labels))
    true = logits[rows, :, labels]
    others = logits.copy()
    others[rows, :, labels] = -np.inf
    margin = true - others.max(axis=-1)
    found = np.full(len(labels), np.nan, np.float32)
    start = int(np.searchsorted(lengths, 0))
    for row in rows:
        for n in range(start + 1, len(lengths)):
            if margin[row, n] < 0 <= margin[row, n - 1]:
                before, after = margin[row, n - 1], margin[row, n]
                share = before / (before - after)
                step = lengths[n] - lengths[n - 1]
                found[row] = lengths[n - 1] + share * step
                break
    return found


def walk(
    trial: Trial, section: Section, study: Study
) -> tuple[Walk, dict[str, str]]:
    """Computes the directions of test images, and the logits along them.

    Args:
        trial: Whose classifier and generator are looked at.
        section: Of the preset: `checkpoint`, `images`, `eps`, `length`,
            `shown`.
        study: Where the networks are.

    Returns:
        What was seen, and on which images, when and where, as `WHERE` names
        it.
    """
    import tensorflow as tf

    import tfgan_robust as tr
    from tfgan_robust.networks.devices import describe_devices
    from tfgan_robust.networks.logits import as_floats

    (eps,) = parse_eps(section["eps"])
    networks, runner = _networks(trial, section, study)
    classifier, config = networks.classifier, trial.config
    info, test = tr.load_test(
        config.dataset, data_dir=study.data_dir, image_size=config.image_size,
        class_names=classifier.class_names,
    )  # fmt: skip
    clean = runner.clean(test.images, test.labels)
    where = np.flatnonzero(clean.correct)[: section["images"]]
    images, labels = as_floats(test.images[where]), test.labels[where]
    attacked = _attacked(runner, images, labels, eps, config.seed)
    noise = np.random.default_rng(config.seed).standard_normal(
        images.shape, np.float32
    )
    directions = [noise, *((each - images) / eps for each in attacked)]
    look = tf.function(classifier.logits_fn)
    lengths = np.linspace(-1, 1, POINTS, dtype=np.float32) * section["length"]
    shown = _chosen(labels, info.class_names, section["shown"])
    overtaken, logits = [], []
    for direction in directions:
        along = _along(look, images, direction, lengths)
        overtaken.append(crossings(lengths, along, labels))
        logits.append(along[shown])
    seen = Walk(
        lengths,
        np.stack(overtaken),
        images[shown],
        labels[shown],
        np.stack([(each - images)[shown] for each in attacked]),
        np.stack(logits),
        np.float32(eps),
        np.array(info.class_names),
    )
    date = datetime.date.today().isoformat()
    values = info.source, "test", date, describe_devices()
    return seen, dict(zip(WHERE, values, strict=True))


def _networks(trial: Trial, section: Section, study: Study) -> tuple[Any, Any]:
    """Returns networks of a trial, and what attacks them."""
    from tfgan_robust.attacks.engine.runner import AttackRunner
    from tfgan_robust.attacks.generators import GeneratorAttack
    from tfgan_robust.evaluation.networks import load_networks
    from tfgan_robust.evaluation.options import EvaluateSettings

    networks = load_networks(
        EvaluateSettings(
            run_dir=str(study.run(trial).path),
            checkpoint=section["checkpoint"],
            attacks=ATTACKS["generator"],
        )
    )
    runner = AttackRunner(
        networks.classifier.logits_fn,
        networks.classifier.num_classes,
        generators=[GeneratorAttack(*networks.generators[0])],
    )
    return networks, runner


def _attacked(
    runner: Any, images: np.ndarray, labels: np.ndarray, eps: float, seed: int
) -> list[np.ndarray]:
    """Returns the images as each of `ATTACKS` leaves them."""
    import tfgan_robust as tr

    clean = runner.clean(images, labels)
    found = []
    for name in ATTACKS.values():
        plan = tr.parse_attack(name, protocol="final")
        outcome = runner.begin(plan, labels, clean)
        attacked = images.copy()
        for done in runner.run(
            plan, images, labels, clean, outcome,
            eps=eps, seed=seed,
        ):  # fmt: skip
            attacked[done.number] = done.image
        found.append(attacked)
    return found


def _along(
    look: Any, images: np.ndarray, direction: np.ndarray, lengths: np.ndarray
) -> np.ndarray:
    """Returns logits, float32 [images, points, classes]."""
    return np.stack(
        [
            _answers(look, np.clip(images + t * direction, 0, 1))
            for t in lengths
        ],
        axis=1,
    )


def _answers(look: Any, images: np.ndarray) -> np.ndarray:
    parts = [
        look(images[n : n + _BATCH]).numpy()
        for n in range(0, len(images), _BATCH)
    ]
    return np.concatenate(parts)


def _chosen(
    labels: np.ndarray, names: Sequence[str], wanted: Sequence[str]
) -> list[int]:
    """The first image of each of these classes that has one, or of all."""
    firsts = [np.flatnonzero(labels == names.index(name)) for name in wanted]
    found = [int(places[0]) for places in firsts if len(places)]
    return found or list(range(len(labels)))[:1]
