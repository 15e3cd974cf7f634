"""Attacks: pure functions over a logits function, one file each."""

from tfgan_robust.attacks.compile import compile_attack, resolve_jit_compile
from tfgan_robust.attacks.fgsm import fgsm
from tfgan_robust.attacks.gradients import input_gradient
from tfgan_robust.attacks.linf import project, random_start
from tfgan_robust.attacks.pgd import pgd
from tfgan_robust.attacks.result import AttackResult

__all__ = [
    "AttackResult",
    "compile_attack",
    "fgsm",
    "input_gradient",
    "pgd",
    "project",
    "random_start",
    "resolve_jit_compile",
]
