"""Radii as people write them."""


def format_eps(eps: float) -> str:
    """Returns a radius as people write it: "8/255", or "0.1"."""
    hundredths, levels = eps * 100, eps * 255
    if abs(hundredths - round(hundredths)) < 1e-6:
        return f"{eps:g}"
    if abs(levels - round(levels)) < 1e-6:
        return f"{round(levels)}/255"
    return f"{eps:.4g}"
