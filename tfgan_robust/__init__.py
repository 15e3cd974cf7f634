"""Classifiers that withstand adversarial attacks, and their evaluation."""

from typing import TYPE_CHECKING, Any

from tfgan_robust.lazy import load

if TYPE_CHECKING:
    from tfgan_robust.attacks.plan import parse_attack
    from tfgan_robust.audit.audit import audit_classifier
    from tfgan_robust.classifiers.classifier import Classifier
    from tfgan_robust.classifiers.loading import (
        load_classifier,
        load_pretrained,
    )
    from tfgan_robust.data.batches import training_batches
    from tfgan_robust.data.loading import load_test, load_training
    from tfgan_robust.evaluation.measure import evaluate_classifier
    from tfgan_robust.runs.config import TrainConfig
    from tfgan_robust.runs.presets import resolve
    from tfgan_robust.training.build import build_model
    from tfgan_robust.training.model import AdversarialClassifier

__version__ = "0.1.0"

__all__ = [
    "AdversarialClassifier",
    "Classifier",
    "TrainConfig",
    "__version__",
    "audit_classifier",
    "build_model",
    "evaluate_classifier",
    "load_classifier",
    "load_pretrained",
    "load_test",
    "load_training",
    "parse_attack",
    "resolve",
    "training_batches",
]

# Imported on first use: a bad flag is then reported before TensorFlow loads.
_MODULES = {
    "AdversarialClassifier": "training.model",
    "Classifier": "classifiers.classifier",
    "TrainConfig": "runs.config",
    "audit_classifier": "audit.audit",
    "build_model": "training.build",
    "evaluate_classifier": "evaluation.measure",
    "load_classifier": "classifiers.loading",
    "load_pretrained": "classifiers.loading",
    "load_test": "data.loading",
    "load_training": "data.loading",
    "parse_attack": "attacks.plan",
    "resolve": "runs.presets",
    "training_batches": "data.batches",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return load(f"{__name__}.{_MODULES[name]}:{name}")


def __dir__() -> list[str]:
    return sorted(__all__)
