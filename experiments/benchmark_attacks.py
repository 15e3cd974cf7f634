r"""Our attacks beside those of other libraries: accuracy and time.

All attack the same weights and images with the same radius, steps, step size
and restarts, one after another in one process on the CPU:

    python -m venv /tmp/bench
    /tmp/bench/bin/pip install -e . -r experiments/requirements-bench.txt
    /tmp/bench/bin/pip install --no-deps torchattacks==3.5.1
    /tmp/bench/bin/python experiments/benchmark_attacks.py --data_dir=DIR \
        --run_dir=experiments/cifar10/grad_x --output=/tmp/attacks.json

(torchattacks declares torchvision, which it never imports.) Run it on an
otherwise idle machine. A stopped run goes on with the same command.

- Batches have one size, and both frameworks all threads. Libraries on
  TensorFlow get the model compiled, which is faster than the Keras model of
  their tutorials. A warm-up keeps compilation out of everybody's seconds.
- PGD of the others takes all steps on all images, as ours does with the
  protocol `final`; with `worst` it leaves off where an image is fooled. Their
  APGD takes all steps on the images that are right while clean; ours leaves
  off there too, and so do Square and AutoAttack of all.
- One network, this package's, judges all attacked images. "And clean" counts
  an image only if it is right before the attack as well.
"""

import argparse
import dataclasses
import importlib.metadata
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

# Read when TensorFlow is imported; PyTorch is installed for the CPU.
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

from tfgan_robust.attack_plan import AttackPlan, parse_attack
from tfgan_robust.attack_runner import AttackRunner
from tfgan_robust.classifiers import Classifier, load_float32
from tfgan_robust.data import load_test
from tfgan_robust.evaluation_settings import parse_eps
from tfgan_robust.run_directory import RunDirectory, write_json

ATTACKS = "pgd-100,apgd-ce,square,autoattack"
SETTINGS = {"num_images": 500, "eps": "8/255", "batch_size": 128, "seed": 0}
PACKAGES = (
    "tensorflow", "keras", "torch", "adversarial-robustness-toolbox",
    "foolbox", "cleverhans", "torchattacks",
)  # fmt: skip
WARM_UP_STEPS = 3
SMALLEST_BATCH = 8

# From images and labels to attacked images.
Attack = Callable[[np.ndarray, np.ndarray], np.ndarray]
# By the names of attacks, without their budgets.
Peer = dict[str, Callable[[AttackPlan], Attack]]


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is attacked: float32 [n, height, width, channels], int64 [n]."""

    model: keras.Model
    compiled: Callable[[tf.Tensor], tf.Tensor]
    images: np.ndarray
    labels: np.ndarray
    eps: float
    batch_size: int
    seed: int

    def in_batches(self, attack: Attack) -> Attack:
        """Returns an attack that takes any number of images."""
        size = self.batch_size
        return lambda images, labels: np.concatenate(
            [
                np.asarray(attack(images[i : i + size], labels[i : i + size]))
                for i in range(0, len(labels), size)
            ]
        )

    def right(self, images: np.ndarray) -> np.ndarray:
        """Tells which images are classified correctly, bool [n]."""
        look = self.in_batches(lambda x, _: self.compiled(tf.constant(x)))
        logits = look(images, self.labels)
        return np.asarray(logits.argmax(axis=-1) == self.labels)


def art(subject: Subject) -> Peer:
    """ART, on TensorFlow."""
    from art.attacks import evasion
    from art.estimators.classification import TensorFlowV2Classifier

    estimator = TensorFlowV2Classifier(
        model=lambda x, training: subject.compiled(tf.cast(x, tf.float32)),
        nb_classes=subject.model.output_shape[-1],
        input_shape=subject.model.input_shape[1:],
        loss_object=keras.losses.CategoricalCrossentropy(from_logits=True),
        clip_values=(0.0, 1.0),
    )
    eps, size = subject.eps, subject.batch_size
    common = {"eps": eps, "batch_size": size, "verbose": False}
    return {
        "pgd": lambda plan: evasion.ProjectedGradientDescentTensorFlowV2(
            estimator, max_iter=plan.stages[0].num_steps, num_random_init=1,
            eps_step=plan.stages[0].resolved_step_size(eps), **common,
        ).generate,
        # Its default first step is not the published 2 eps. It returns the
        # last iterate, even if another one fooled.
        "apgd-ce": lambda plan: evasion.AutoProjectedGradientDescent(
            estimator, max_iter=plan.stages[0].num_steps, nb_random_init=1,
            eps_step=2 * eps, **common,
        ).generate,
        # It looks at the network three times for each query.
        "square": lambda plan: evasion.SquareAttack(
            estimator, max_iter=plan.stages[0].num_steps, **common
        ).generate,
    }  # fmt: skip


def foolbox(subject: Subject) -> Peer:
    """Foolbox, on TensorFlow."""
    from foolbox import TensorFlowModel
    from foolbox.attacks import LinfPGD

    model = TensorFlowModel(subject.compiled, (0, 1), device="/CPU:0")

    def pgd(plan: AttackPlan) -> Attack:
        step_size = plan.stages[0].resolved_step_size(subject.eps)
        attack = LinfPGD(abs_stepsize=step_size, steps=plan.stages[0].num_steps)
        return subject.in_batches(
            lambda images, labels: attack(
                model, tf.constant(images), tf.constant(labels),
                epsilons=subject.eps,
            )[1]
        )  # fmt: skip

    return {"pgd": pgd}


def cleverhans(subject: Subject) -> Peer:
    """CleverHans, on TensorFlow."""
    from cleverhans.tf2.attacks import projected_gradient_descent as module

    def pgd(plan: AttackPlan) -> Attack:
        step_size = plan.stages[0].resolved_step_size(subject.eps)
        return subject.in_batches(
            lambda images, labels: module.projected_gradient_descent(
                subject.compiled, tf.constant(images), subject.eps, step_size,
                plan.stages[0].num_steps, np.inf, clip_min=0.0, clip_max=1.0,
                y=tf.constant(labels), rand_init=True,
            )
        )  # fmt: skip

    return {"pgd": pgd}


def torchattacks(subject: Subject) -> Peer:
    """Returns those of torchattacks, on PyTorch."""
    from torch_twin import attacks_on_twin

    builders = attacks_on_twin(
        subject.model, subject.images, eps=subject.eps, seed=subject.seed
    )

    def build(family: str, plan: AttackPlan) -> Attack:
        return subject.in_batches(builders[family](plan))

    return {family: partial(build, family) for family in builders}


PEERS: dict[str, Callable[[Subject], Peer]] = {
    f.__name__: f for f in (art, foolbox, cleverhans, torchattacks)
}


def warm_up(subject: Subject, runner: AttackRunner, plan: AttackPlan) -> None:
    """Runs our stages to their first verdict, at each size of a batch."""
    eligible = subject.right(subject.images) | (plan.protocol == "final")
    for stage in plan.stages:
        alone = dataclasses.replace(plan, stages=(stage,))
        count = subject.batch_size
        while count >= SMALLEST_BATCH:
            some = np.flatnonzero(eligible)[:count]
            images, labels = subject.images[some], subject.labels[some]
            clean = runner.clean(images, labels)
            outcome = runner.begin(alone, labels, clean)
            verdicts = runner.run(
                alone, images, labels, clean, outcome,
                eps=subject.eps, seed=subject.seed,
            )  # fmt: skip
            next(verdicts, None)
            count //= 2


def measure_ours(
    subject: Subject, runner: AttackRunner, plan: AttackPlan
) -> dict[str, Any]:
    """Runs one of our plans; returns a row."""
    warm_up(subject, runner, plan)
    started = time.perf_counter()
    outcome = runner.measure(
        plan, subject.images, subject.labels,
        eps=subject.eps, seed=subject.seed,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    return row(subject, outcome.right, outcome.largest_perturbation, seconds)


def measure_peer(
    subject: Subject, build: Callable[[AttackPlan], Attack], plan: AttackPlan
) -> dict[str, Any]:
    """Runs another library's attack; returns a row."""
    stages = [
        dataclasses.replace(stage, num_steps=WARM_UP_STEPS)
        for stage in plan.stages
    ]
    short = dataclasses.replace(plan, stages=tuple(stages))
    # All images, since the last batch may be smaller than the others.
    build(short)(subject.images, subject.labels)
    # Python's, NumPy's and TensorFlow's; `torch_twin` sets PyTorch's.
    keras.utils.set_random_seed(subject.seed)
    started = time.perf_counter()
    attacked = build(plan)(subject.images, subject.labels)
    seconds = time.perf_counter() - started
    change = float(np.abs(attacked - subject.images).max())
    return row(subject, subject.right(attacked), change, seconds)


def row(
    subject: Subject, right: np.ndarray, change: float, seconds: float
) -> dict[str, Any]:
    """Returns what is kept of an attack."""
    clean = subject.right(subject.images)
    return {
        "clean_accuracy": float(clean.mean()),
        "accuracy": float(right.mean()),
        "accuracy_and_clean": float((right & clean).mean()),
        "largest_perturbation": change,
        "seconds": seconds,
    }


def table(rows: list[dict[str, Any]], eps: float) -> Iterator[str]:
    """Yields lines of Markdown; times are relative to an attack's first."""
    yield (
        "| attack | implementation | accuracy % | and clean % "
        "| largest change / eps | seconds | relative time |"
    )
    yield "|---|---|---|---|---|---|---|"
    units: dict[str, float] = {}
    for r in rows:
        unit = units.setdefault(r["attack"], r["seconds"])
        yield (
            f"| {r['attack']} | {r['implementation']} "
            f"| {r['accuracy']:.1%} | {r['accuracy_and_clean']:.1%} "
            f"| {r['largest_perturbation'] / eps:.4f} "
            f"| {r['seconds']:.1f} | {r['seconds'] / unit:.2f} |"
        )


def jobs(
    subject: Subject, attacks: str, peers: str
) -> Iterator[tuple[dict[str, str], Callable[[], dict[str, Any]]]]:
    """Yields what there is to measure: its names, and how."""
    classifier = Classifier.from_keras(subject.model)
    runner = AttackRunner(classifier, batch_size=subject.batch_size)
    libraries = {name: PEERS[name](subject) for name in peers.split(",")}
    for attack in attacks.split(","):
        family = re.sub(r"-\d+$", "", attack)
        for protocol in ("final", "worst")[family != "pgd" :]:
            plan = parse_attack(attack, protocol=protocol)
            names = {"attack": attack, "implementation": f"ours, {protocol}"}
            yield names, partial(measure_ours, subject, runner, plan)
        for name, builders in libraries.items():
            if family in builders:
                names = {"attack": attack, "implementation": name}
                yield (
                    names,
                    partial(measure_peer, subject, builders[family], plan),
                )


def load(run_dir: Path, options: argparse.Namespace) -> Subject:
    """Loads the classifier and the first images of the test set."""
    model = load_float32(RunDirectory(run_dir).classifier("best"))
    _, test = load_test("cifar10", data_dir=options.data_dir)
    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)]
    compiled = tf.function(
        Classifier.from_keras(model).logits_fn,
        input_signature=signature,
        autograph=False,
    )
    images = test.images[: options.num_images].astype(np.float32) / 255
    labels = test.labels[: options.num_images].astype(np.int64)
    return Subject(
        model, compiled, images, labels, parse_eps(options.eps)[0],
        min(options.batch_size, len(labels)), options.seed,
    )  # fmt: skip


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run_dir", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--data_dir", help="prepared CIFAR-10")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--attacks", default=ATTACKS)
    for name, value in SETTINGS.items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    options = parser.parse_args()
    settings = {name: vars(options)[name] for name in SETTINGS}
    settings |= {"run": options.run_dir.name}
    settings |= {p: importlib.metadata.version(p) for p in PACKAGES}
    content: dict[str, Any] = {"settings": settings, "rows": []}
    if options.output.is_file():
        content = json.loads(options.output.read_text("utf-8"))
    if content["settings"] != settings:
        parser.error(
            f"{options.output} has other settings, {content['settings']}. "
            f"Received: {settings}. Choose another --output."
        )
    rows = content["rows"]
    subject = load(options.run_dir, options)
    for names, measure in jobs(subject, options.attacks, options.peers):
        if not any(names.items() <= r.items() for r in rows):
            rows.append({**names, **measure()})
            print(json.dumps(rows[-1]), flush=True)
            write_json(options.output, content)
    print("\n".join(table(rows, subject.eps)))


if __name__ == "__main__":
    main()
