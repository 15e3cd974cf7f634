r"""Our attacks beside those of other libraries: accuracy and time.

All attack the same weights and images with the same radius, steps, step size
and restarts, one after another in one process on the CPU:

    pip install -e . -r experiments/requirements-bench.txt
    pip install --no-deps torchattacks==3.5.1
    python -m experiments.benchmark_attacks --data_dir=DIR \
        --model=experiments/cifar10/grad_x/best/classifier.keras \
        --output=/tmp/attacks.json

`--model` takes `pretrained:NAME`, too; `--peers=` leaves the others out, whose
packages are then not needed. Run it on an idle machine. A stopped run goes on
with the same command. Rows say on which processor they were measured; on
another one all is measured again. Libraries on TensorFlow get the model
compiled, which is faster than the Keras model itself; a warm-up keeps
compilation out of all seconds. PGD of the others takes all steps on all
images, as ours does with the protocol `final`; `worst` leaves off where an
image is fooled. Their APGD takes all steps on the images that are right while
clean; ours leaves off there too, and so do Square and AutoAttack of all. The
Keras model judges all attacked images; "and clean" counts those that were
right before as well.
"""

import argparse
import dataclasses
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfgan_robust.attacks.engine.execution import GRADIENT_PRECISIONS
from tfgan_robust.attacks.engine.runner import AttackRunner
from tfgan_robust.attacks.engine.stream import batch_sizes
from tfgan_robust.attacks.plan import AttackPlan, Stage, parse_attack
from tfgan_robust.classifiers.classifier import Classifier
from tfgan_robust.classifiers.loading import load_float32
from tfgan_robust.data.loading import load_test
from tfgan_robust.evaluation.radii import parse_eps
from tfgan_robust.files import write_json
from tfgan_robust.networks.devices import describe_devices
from tfgan_robust.networks.pretrained import locate

ATTACKS = "pgd-100,apgd-ce,square,autoattack"
SETTINGS = {"num_images": 500, "eps": "8/255", "batch_size": 128, "seed": 0}
# Of each library, with what it computes; its name is that of its function.
PACKAGES = {
    "art": ["adversarial-robustness-toolbox"],
    "foolbox": ["foolbox"],
    "cleverhans": ["cleverhans"],
    "torchattacks": ["torch", "torchattacks"],
}

# From images and labels to attacked images.
Attack = Callable[[np.ndarray, np.ndarray], np.ndarray]
# By the names of attacks, without their budgets: from a plan's stages.
Peer = dict[str, Callable[..., Attack]]
# Images that are still right, the largest change, seconds.
Measured = tuple[np.ndarray, float, float]


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is attacked: float32 [n, height, width, channels], int64 [n].

    Our attacks run on it by `runners`, of which each precision of gradients
    has one.
    """

    model: keras.Model
    runners: dict[str, AttackRunner]
    compiled: Callable[[tf.Tensor], tf.Tensor]
    images: np.ndarray
    labels: np.ndarray
    eps: float
    batch_size: int
    seed: int

    @property
    def how(self) -> dict[str, Any]:
        """Returns what all attacks are told."""
        return {"eps": self.eps, "seed": self.seed}

    def in_batches(self, attack: Attack) -> Attack:
        """Returns an attack that takes any number of images."""

        def run(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
            at = range(self.batch_size, len(labels), self.batch_size)
            batches = map(attack, np.split(images, at), np.split(labels, at))
            return np.concatenate([np.asarray(batch) for batch in batches])

        return run

    def right(self, images: np.ndarray) -> np.ndarray:
        """Tells which images are classified correctly, bool [n]."""
        look = self.in_batches(lambda x, _: self.compiled(tf.constant(x)))
        return look(images, self.labels).argmax(axis=-1) == self.labels


def art(subject: Subject) -> Peer:
    """ART, on TensorFlow."""
    from art.attacks import evasion
    from art.estimators.classification import TensorFlowV2Classifier

    estimator = TensorFlowV2Classifier(
        model=lambda x, training: subject.compiled(tf.cast(x, tf.float32)),
        nb_classes=subject.model.output_shape[-1], clip_values=(0.0, 1.0),
        input_shape=subject.model.input_shape[1:],
        loss_object=keras.losses.CategoricalCrossentropy(from_logits=True),
    )  # fmt: skip
    eps, size = subject.eps, subject.batch_size
    common = {"eps": eps, "batch_size": size, "verbose": False}
    return {
        "pgd": lambda stage: evasion.ProjectedGradientDescentTensorFlowV2(
            estimator, max_iter=stage.settings["num_steps"], num_random_init=1,
            eps_step=stage.settings["step_ratio"] * eps, **common,
        ).generate,
        # Its default first step is not the published 2 eps. It returns the
        # last iterate, even if another one fooled.
        "apgd-ce": lambda stage: evasion.AutoProjectedGradientDescent(
            estimator, max_iter=stage.settings["num_steps"], nb_random_init=1,
            eps_step=2 * eps, **common,
        ).generate,
        # It looks at the network three times for each query.
        "square": lambda stage: evasion.SquareAttack(
            estimator, max_iter=stage.settings["num_queries"], **common
        ).generate,
    }  # fmt: skip


def foolbox(subject: Subject) -> Peer:
    """Foolbox, on TensorFlow."""
    from foolbox import TensorFlowModel
    from foolbox.attacks import LinfPGD

    model = TensorFlowModel(subject.compiled, (0, 1), device="/CPU:0")
    eps = subject.eps

    def pgd(stage: Stage) -> Attack:
        size = stage.settings["step_ratio"] * eps
        steps = stage.settings["num_steps"]
        attack = partial(LinfPGD(abs_stepsize=size, steps=steps), model)
        return subject.in_batches(
            lambda x, y: attack(tf.constant(x), tf.constant(y), epsilons=eps)[1]
        )

    return {"pgd": pgd}


def cleverhans(subject: Subject) -> Peer:
    """CleverHans, on TensorFlow."""
    from cleverhans.tf2.attacks import projected_gradient_descent as module

    return {
        "pgd": lambda stage: subject.in_batches(
            lambda x, y: module.projected_gradient_descent(
                subject.compiled, tf.constant(x), subject.eps,
                stage.settings["step_ratio"] * subject.eps,
                stage.settings["num_steps"], np.inf,
                clip_min=0.0, clip_max=1.0, y=tf.constant(y), rand_init=True,
            )
        )
    }  # fmt: skip


def torchattacks(subject: Subject) -> Peer:
    """Returns those of torchattacks, on PyTorch."""
    from experiments.peers.torch_attacks import attacks_on_twin

    return attacks_on_twin(
        subject.model, subject.images, subject.in_batches, **subject.how
    )


PEERS: dict[str, Callable[[Subject], Peer]] = {
    f.__name__: f for f in (art, foolbox, cleverhans, torchattacks)
}


def warm_up(subject: Subject, runner: AttackRunner, plan: AttackPlan) -> None:
    """Runs our stages to their first verdict, at each size of a batch."""
    eligible = subject.right(subject.images) | (plan.protocol == "final")
    for stage in plan.stages:
        alone = dataclasses.replace(plan, stages=(stage,))
        for count in batch_sizes(subject.batch_size):
            images = subject.images[eligible][:count]
            labels = subject.labels[eligible][:count]
            clean = runner.clean(images, labels)
            work = (clean, runner.begin(alone, labels, clean))
            next(runner.run(alone, images, labels, *work, **subject.how), None)


def measure_ours(
    subject: Subject, plan: AttackPlan, precision: str = "float32"
) -> Measured:
    """Runs one of our plans, with gradients of some precision."""
    runner = subject.runners[precision]
    warm_up(subject, runner, plan)
    work = (plan, subject.images, subject.labels)
    started = time.perf_counter()
    done = runner.measure(*work, **subject.how)
    seconds = time.perf_counter() - started
    return done.correct, done.largest_perturbation, seconds


def measure_peer(
    subject: Subject, build: Callable[..., Attack], plan: AttackPlan
) -> Measured:
    """Runs another library's attack."""
    images, labels = subject.images, subject.labels
    short = [
        dataclasses.replace(
            stage,
            settings={
                name: 3 if name in ("num_steps", "num_queries") else value
                for name, value in stage.settings.items()
            },
        )
        for stage in plan.stages
    ]
    # All images, since the last batch may be smaller than the others.
    build(*short)(images, labels)
    # Python's, NumPy's and TensorFlow's; `torch_attacks` sets PyTorch's.
    keras.utils.set_random_seed(subject.seed)
    started = time.perf_counter()
    attacked = build(*plan.stages)(images, labels)
    seconds = time.perf_counter() - started
    return subject.right(attacked), float(abs(attacked - images).max()), seconds


def table(rows: list[dict[str, Any]], eps: float) -> Iterator[str]:
    """Yields lines of Markdown; times are relative to an attack's first."""
    yield "| attack | by | accuracy | and clean | change / eps | s | ratio |"
    yield 7 * "|---" + "|"
    units: dict[str, float] = {}
    for row in rows:
        unit = units.setdefault(row["attack"], row["seconds"])
        yield (
            f"| {row['attack']} | {row['by']} | {row['accuracy']:.1%} "
            f"| {row['accuracy_and_clean']:.1%} "
            f"| {row['change'] / eps:.4f} | {row['seconds']:.1f} "
            f"| {row['seconds'] / unit:.2f} |"
        )


def jobs(
    subject: Subject, plans: list[AttackPlan], peers: list[str]
) -> Iterator[tuple[str, str, Callable[[], Measured]]]:
    """Yields what there is to measure: an attack, by whom, and how."""
    libraries = {name: PEERS[name](subject) for name in peers}
    for plan in plans:
        family = re.sub(r"-\d+$", "", plan.name)
        for protocol in ["final", "worst"] if family == "pgd" else ["worst"]:
            own = dataclasses.replace(plan, protocol=protocol)
            measure = partial(measure_ours, subject, own)
            yield plan.name, f"tfgan_robust, {protocol}", measure
        yield (
            plan.name,
            "tfgan_robust, worst, gradients in bfloat16",
            partial(measure_ours, subject, plan, "bfloat16"),
        )
        for name, peer in libraries.items():
            if family in peer:
                measure = partial(measure_peer, subject, peer[family], plan)
                yield plan.name, name, measure


def versions(by: str) -> dict[str, str]:
    """Returns the versions of the packages that measure something.

    Args:
        by: One of `PEERS`, or anything else for ours.
    """
    packages = ["tensorflow", *PACKAGES.get(by, ())]
    return {name: version(name) for name in packages}


def load(options: argparse.Namespace) -> Subject:
    """Loads the classifier and the first images of the test set."""
    model = load_float32(locate(options.model))
    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)]
    classifier = Classifier.from_keras(model)
    _, test = load_test("cifar10", data_dir=options.data_dir)
    images = test.images[: options.num_images].astype(np.float32) / 255
    labels = test.labels[: options.num_images].astype(np.int64)
    size = min(options.batch_size, len(labels))
    return Subject(
        model,
        {
            precision: AttackRunner(
                classifier.followed_in(precision),
                classifier.num_classes,
                batch_size=size,
            )
            for precision in GRADIENT_PRECISIONS
        },
        tf.function(partial(model, training=False), signature, autograph=False),
        images, labels, parse_eps(options.eps)[0], size, options.seed,
    )  # fmt: skip


def main() -> None:
    """Runs the benchmark."""
    # PyTorch's idle threads spin unless told to sleep, and starve the rest.
    os.environ |= {"CUDA_VISIBLE_DEVICES": "-1", "OMP_WAIT_POLICY": "PASSIVE"}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--data_dir", help="prepared CIFAR-10")
    lists = {"attacks": ATTACKS, "peers": ",".join(PEERS)}
    for name, value in (SETTINGS | lists).items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    options = parser.parse_args()
    peers = options.peers.split(",") if options.peers else []
    if not set(peers) <= set(PEERS):
        parser.error(f"--peers knows {', '.join(PEERS)}. Received: {peers}.")
    plans = [parse_attack(name) for name in options.attacks.split(",")]
    settings = {name: vars(options)[name] for name in SETTINGS}
    settings |= {"model": options.model, "device": describe_devices()}
    file = options.output
    rows = json.loads(file.read_text("utf-8")) if file.is_file() else []
    subject = load(options)
    clean = subject.right(subject.images)
    shown = []
    for attack, by, measure in jobs(subject, plans, peers):
        key = {**settings, **versions(by), "attack": attack, "by": by}
        known = [row for row in rows if key.items() <= row.items()]
        if known:
            shown += known[:1]
            continue
        right, change, seconds = measure()
        figures = {
            "clean": float(clean.mean()), "accuracy": float(right.mean()),
            "accuracy_and_clean": float((right & clean).mean()),
            "change": change, "seconds": seconds,
        }  # fmt: skip
        print(attack, by, figures, flush=True)
        rows.append({**key, **figures})
        shown += rows[-1:]
        write_json(file, rows)
    print("\n".join(table(shown, subject.eps)))


if __name__ == "__main__":
    main()
