"""The audit that belongs to an evaluation."""

import dataclasses

import numpy as np

from tfgan_robust import identity
from tfgan_robust.attacks.engine.execution import GRADIENT_PRECISIONS
from tfgan_robust.attacks.plan import is_usual
from tfgan_robust.audit.audit import audit_classifier
from tfgan_robust.audit.checks import CHECKS
from tfgan_robust.classifiers.classifier import Classifier
from tfgan_robust.data.registry import DATASETS
from tfgan_robust.evaluation.inputs import Inputs
from tfgan_robust.evaluation.measure import MeasuredEvaluation
from tfgan_robust.evaluation.options import AUTO, EvaluateSettings
from tfgan_robust.evaluation.store import EvaluationStore
from tfgan_robust.evaluation.undefended import train_undefended
from tfgan_robust.reports.breakdown import middle_eps
from tfgan_robust.reports.progress import audit_progress
from tfgan_robust.reports.results import correct_within
from tfgan_robust.reports.verdicts import Check


def audit(
    inputs: Inputs, evaluation: MeasuredEvaluation, store: EvaluationStore
) -> list[Check]:
    """Audits at the middle one of the radii, in the L-infinity ball.

    Args:
        inputs: What was measured.
        evaluation: What that found.
        store: Where an audit is kept, and looked for first.
    """
    options = inputs.options
    if evaluation.norm == "linf":
        eps = middle_eps(evaluation)
    else:
        radii = sorted(DATASETS[inputs.dataset].eps)
        eps = radii[len(radii) // 2]
    undefended = inputs.networks.undefended
    if undefended is None and options.undefended == AUTO:
        undefended = _trained(inputs)
    surrogate = inputs.networks.surrogate
    correct = _as_the_audit_would(options, evaluation, eps)
    reported = _reported(evaluation, eps)
    masks = correct if reported is None else {**correct, "": reported}
    others = [
        identity.of_settings(other and identity.exactly(other.identity))
        for other in (undefended, surrogate)
    ]
    key = (
        f"eps={eps:g} images={options.audit_images} undefended={others[0]} "
        f"surrogate={others[1]} measured={identity.of_arrays(masks)} "
        f"checks={','.join(CHECKS)}"
    )
    code = identity.of_code(CHECKS.values())
    if code:
        key += f" code={identity.of_settings(code)}"
    known = store.load_audit(key)
    if known is not None:
        return known
    with audit_progress() as progress:
        checks = audit_classifier(
            inputs.networks.classifier,
            *inputs.split,
            eps=eps,
            correct=correct,
            reported=reported,
            undefended=undefended,
            surrogates=[] if surrogate is None else [surrogate],
            num_images=options.audit_images,
            progress=progress,
            **dataclasses.asdict(options.execution),
        )
    store.save_audit(key, checks)
    return checks


def _trained(inputs: Inputs) -> Classifier | None:
    """Trains an undefended network, if one would fit the classifier."""
    audited, info = inputs.networks.classifier, inputs.info
    if audited.shapes != (*info.image_shape, info.num_classes):
        return None
    return train_undefended(
        inputs.dataset,
        info,
        data_dir=inputs.data_dir,
        folder=inputs.options.folder,
    )


def _as_the_audit_would(
    options: EvaluateSettings, evaluation: MeasuredEvaluation, eps: float
) -> dict[str, np.ndarray]:
    """Returns the masks of attacks that are set as an audit would set them."""
    if options.gradient_precision != GRADIENT_PRECISIONS[0]:
        return {}
    usual = {plan.name for plan in options.plans if is_usual(plan)}
    return {
        attack: mask
        for (attack, radius), mask in evaluation.masks.items()
        if radius == eps and attack in usual
    }


def _reported(evaluation: MeasuredEvaluation, eps: float) -> np.ndarray | None:
    """Returns the mask of the worst case at a radius, if there is one."""
    if evaluation.norm != "linf" or len(evaluation.masks) < 2:
        return None
    # As in the table: what fools at a smaller radius counts, too.
    return correct_within(evaluation.masks, eps)
