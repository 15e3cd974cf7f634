"""Evaluations in folders, as `evaluate` leaves them."""

import dataclasses
import json

import numpy as np

from tfgan_robust.reports.results import (
    SCHEMA_VERSION,
    Evaluation,
    Pointwise,
    Result,
    StageResult,
    accuracy_fields,
    result_name,
)

SMALL, LARGE = 4 / 255, 8 / 255


def make_stage(attack, num_correct=9, **settings):
    """A stage of ten steps, of one for FGSM, on ten images."""
    steps = 1 if attack == "fgsm" else 10
    usual = {
        "num_steps": steps,
        "loss": "cross_entropy",
        "step_ratio": 1 / steps,
        "random_start": steps > 1,
        "num_restarts": 1,
        "momentum": 0.0,
    }
    return StageResult(
        name=attack, num_images=10, num_correct=num_correct,
        forward_passes=steps + 1.0, backward_passes=float(steps), seconds=2.5,
        settings=usual | settings,
    )  # fmt: skip


def make_result(attack, eps, correct, total, **changes):
    """An accuracy, with one stage unless it is that of clean images."""
    stages = (make_stage(attack, correct),) if attack != "clean" else ()
    whole = Result(
        attack=attack, eps=eps, norm="linf", protocol="worst",
        **accuracy_fields(correct, total), largest_perturbation=eps,
        forward_passes=3.0, backward_passes=2.0, seconds=2.5,
        image_steps_per_second=4.0, stages=stages,
    )  # fmt: skip
    return dataclasses.replace(whole, **changes)


def make_pointwise(fooled, total):
    """The worst cases that follow from which images each attack fools."""
    for eps in sorted({eps for _, eps in fooled} - {0.0}):
        lost = set().union(*(f for (_, e), f in fooled.items() if e <= eps))
        yield Pointwise(
            eps=eps,
            attacks=tuple(attack for attack, e in fooled if e == eps),
            **accuracy_fields(total - len(lost), total),
        )


def store(
    folder, fooled, *, labels, classes, norm="linf", predict=None,
    stage=None, protocol="worst", dataset=None, masks=True, identity=None,
    **changes,
):  # fmt: skip
    """Writes results.json and masks.npz, in which they agree.

    Args:
        folder: Made if it is not there.
        fooled: By attack and radius, the images that are wrong.
        labels: Integer [n].
        classes: Their names.
        norm: "linf" or "l2".
        predict: From labels to what fooled images are taken for.
        stage: Settings of all stages that differ from the usual ones.
        protocol: Of all attacks.
        dataset: What differs in the description of the images.
        masks: Whether masks.npz is kept.
        identity: What the figures belong to; empty for none.
        **changes: Fields of `Evaluation`.
    """
    total = len(labels)
    predict = predict or (lambda label: (label + 1) % 3)
    arrays, results = {"labels": labels}, []
    for (attack, eps), lost in fooled.items():
        name = result_name(attack, eps)
        arrays[name] = ~np.isin(np.arange(total), list(lost))
        guess = np.where(arrays[name], labels, predict(labels))
        arrays[f"{name}:predicted"] = guess.astype(np.int32)
        given = {"norm": norm, "protocol": protocol}
        if stage and eps:
            given["stages"] = (make_stage(attack, **stage),)
        results.append(
            make_result(attack, eps, total - len(lost), total, **given)
        )
    evaluation = Evaluation(
        classifier="grad_x (best)", num_images=total, seed=0, batch_size=64,
        jit_compile=False, norm=norm, complete=True, results=results,
        pointwise=list(make_pointwise(fooled, total)),
    )  # fmt: skip
    conditions = {
        "schema_version": SCHEMA_VERSION,
        "checkpoint": "best",
        "dataset": {
            "name": "cifar10",
            "source": "a download",
            "split": "test",
            "classes": classes,
            **(dataset or {}),
        },
        "date": "2026-11-23",
        "device": "a CPU",
        "versions": {"python": "3.11", "tensorflow": "2.21"},
        "identity": identity or {"images": "0123"},
    }
    if identity == {}:  # As earlier versions stored it.
        del conditions["identity"]
    evaluation = dataclasses.replace(evaluation, **changes)
    folder.mkdir(parents=True, exist_ok=True)
    whole = conditions | evaluation.to_json()
    (folder / "results.json").write_text(json.dumps(whole))
    if masks:
        np.savez_compressed(folder / "masks.npz", **arrays)
    return folder
