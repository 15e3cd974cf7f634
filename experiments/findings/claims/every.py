"""All that the paper claims, each as a question that stored results answer.

`comparisons.py` says when accuracies are called different, or alike.
"""

from experiments.findings.claims import (
    attacks,
    formulations,
    overfitting,
    training_time,
)

CLAIMS = (
    *formulations.CLAIMS,
    *overfitting.CLAIMS,
    *attacks.CLAIMS,
    *training_time.CLAIMS,
)
QUESTIONS = (*overfitting.QUESTIONS, *training_time.QUESTIONS)
