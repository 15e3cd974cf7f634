"""Classifiers that withstand adversarial attacks, and their evaluation."""

import importlib
from typing import Any

__version__ = "0.1.0"

# Name to module, imported on first use: a bad flag is then reported before
# TensorFlow has loaded.
_PUBLIC = {
    "AdversarialClassifier": "training.model",
    "Classifier": "classifiers.loading",
    "TrainConfig": "runs.config",
    "audit_classifier": "audit.audit",
    "build_model": "training.build",
    "evaluate_classifier": "evaluation.measure",
    "load_classifier": "classifiers.loading",
    "load_test": "data.loading",
    "load_training": "data.loading",
    "parse_attack": "attacks.plan",
    "resolve": "runs.presets",
    "training_batches": "data.batches",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_PUBLIC[name]}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
