"""The balls that perturbations stay in, by the name of their norm."""

from types import ModuleType

from tfgan_robust.attacks import l2, linf

NORMS: dict[str, ModuleType] = {"linf": linf, "l2": l2}
