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

OURS = "tfgan_robust"
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
    return {
        name: lambda plan, build=build: subject.in_batches(build(plan))
        for name, build in builders.items()
    }


PEERS: dict[str, Callable[[Subject], Peer]] = {
    f.__name__: f for f in (art, foolbox, cleverhans, torchattacks)
}


def warm_up_ours(
    subject: Subject, runner: AttackRunner, plan: AttackPlan
) -> None:
    """Runs each stage to its first verdict, at each size of a batch."""
    right = np.flatnonzero(subject.right(subject.images))
    for stage in plan.stages:
        alone = dataclasses.replace(plan, stages=(stage,))
        count = subject.batch_size
        while count >= SMALLEST_BATCH:
            some = right[:count]
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
    warm_up_ours(subject, runner, plan)
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
    stages = (
        dataclasses.replace(stage, num_steps=WARM_UP_STEPS)
        for stage in plan.stages
    )
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
    """Yields lines of Markdown; time is relative to an attack's first row."""
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
            f"| {100 * r['accuracy']:.1f} | {100 * r['accuracy_and_clean']:.1f} "
            f"| {r['largest_perturbation'] / eps:.4f} "
            f"| {r['seconds']:.1f} | {r['seconds'] / unit:.2f} |"
        )


def entries(
    subject: Subject, attacks: list[str], peers: list[str]
) -> Iterator[tuple[str, str, Callable[[], dict[str, Any]]]]:
    """Yields what can be measured: attack, implementation, how."""
    classifier = Classifier.from_keras(subject.model)
    runner = AttackRunner(classifier, batch_size=subject.batch_size)
    libraries = {name: PEERS[name](subject) for name in peers}
    for attack in attacks:
        family = re.sub(r"-\d+$", "", attack)
        protocols = ("final", "worst") if family == "pgd" else ("worst",)
        for protocol in protocols:
            plan = parse_attack(attack, protocol=protocol)
            yield (
                attack, f"{OURS}, {protocol}",
                lambda plan=plan: measure_ours(subject, runner, plan),
            )  # fmt: skip
        for name, library in libraries.items():
            if build := library.get(family):
                yield (
                    attack, name,
                    lambda build=build, plan=plan: measure_peer(
                        subject, build, plan
                    ),
                )  # fmt: skip


def load(arguments: argparse.Namespace) -> Subject:
    """Loads the classifier and the images."""
    model = load_float32(RunDirectory(arguments.run_dir).classifier("best"))
    _, test = load_test("cifar10", data_dir=arguments.data_dir)
    count = arguments.num_images
    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)]
    return Subject(
        model,
        tf.function(
            Classifier.from_keras(model).logits_fn,
            input_signature=signature,
            autograph=False,
        ),
        test.images[:count].astype(np.float32) / np.float32(255),
        test.labels[:count].astype(np.int64),
        parse_eps(arguments.eps)[0],
        min(arguments.batch_size, count),
        arguments.seed,
    )


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run_dir", type=Path, required=True)
    parser.add_argument("--data_dir", help="prepared CIFAR-10")
    parser.add_argument("--num_images", type=int, default=500)
    parser.add_argument("--eps", default="8/255")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument(
        "--attacks", default="pgd-100,apgd-ce,square,autoattack"
    )
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    settings = {
        name: str(value)
        for name, value in vars(arguments).items()
        if name not in ("data_dir", "peers", "attacks", "output")
    }
    settings |= {p: importlib.metadata.version(p) for p in PACKAGES}
    content: dict[str, Any] = {"settings": settings, "rows": []}
    if arguments.output.is_file():
        content = json.loads(arguments.output.read_text())
        if content["settings"] != settings:
            parser.error(
                f"{arguments.output} is of other settings, "
                f"{content['settings']}; choose another --output."
            )
    rows = content["rows"]
    done = {(r["attack"], r["implementation"]) for r in rows}
    subject = load(arguments)
    peers, attacks = arguments.peers.split(","), arguments.attacks.split(",")
    for attack, implementation, measure in entries(subject, attacks, peers):
        if (attack, implementation) not in done:
            key = {"attack": attack, "implementation": implementation}
            rows.append({**key, **measure()})
            print(json.dumps(rows[-1]), flush=True)
            write_json(arguments.output, content)
    print("\n".join(table(rows, subject.eps)))


if __name__ == "__main__":
    main()
