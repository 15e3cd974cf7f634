"""How far two answers to the same images differ, whatever their size."""

import numpy as np

# In median margins, as `difference` counts. The same pass twice differs by the
# order of sums only.
SAME_PASS = 1e-3
# Other batches and graphs run other kernels, on a GPU in TensorFloat-32. Who
# would hide something needs whole margins.
OTHER_KERNELS = 2e-2
# Of the numbers that a format holds, so many lie between two that sums in
# another order give.
_ROUNDED = 4
# Of an image whose two likeliest classes are close, other kernels may make the
# other one; of more than this share of images they do not.
_NEAR_TIES = 0.1


def difference(first: np.ndarray, second: np.ndarray) -> float:
    """Returns how far two answers to the same images differ.

    Args:
        first: float32 logits [n, num_classes].
        second: Others, shaped alike.

    Returns:
        The largest of `differences`; infinity if classes change for more
        images than lie between two.
    """
    each, changed = _compare(first, second)
    if changed.mean() > _NEAR_TIES:
        return float("inf")
    return float(each.max())


def differences(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns how far the logits of each image differ.

    Compared are the distances from the likeliest class to each other one: what
    is added to all logits, or to a class far below, hides no change. Each
    change counts beside the median margin, the lead of the likeliest class, or
    beside its own distance if that is larger, and without what rounding
    explains.

    Args:
        first: float32 logits [n, num_classes].
        second: Others, shaped alike.

    Returns:
        float64 [n], 1 for as much as the median margin; NaN where a logit is
        not finite.
    """
    return _compare(first, second)[0]


def resolution(logits: np.ndarray) -> float:
    """Returns the distance of neighbours in the format that logits fit.

    A model that computes in 16 bits answers with numbers of 16 bits, even as
    float32.

    Args:
        logits: float32 [n, num_classes].

    Returns:
        Of 1: that of bfloat16, float16 or float32.
    """
    logits = np.ascontiguousarray(logits, np.float32)
    if not np.any(logits.view(np.uint32) & 0xFFFF):
        return 2.0**-7
    with np.errstate(over="ignore", invalid="ignore"):
        fits = np.array_equal(logits.astype(np.float16), logits)
    return float(np.finfo(np.float16 if fits else np.float32).eps)


def _compare(
    first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns `differences`, and which classes change beyond rounding."""
    step = max(resolution(first), resolution(second))
    first, second = first.astype(np.float64), second.astype(np.float64)
    top, other = (x.argmax(axis=-1)[:, None] for x in (first, second))
    # Infinite logits have no distance: NaN, which is within no bound.
    with np.errstate(invalid="ignore"):
        before, after = (
            np.take_along_axis(logits, top, axis=-1) - logits
            for logits in (first, second)
        )
        leads = np.where(before > 0, before, np.inf).min(axis=-1)
        margin = np.median(leads)
        sizes = np.abs(first)
        sizes = sizes + np.take_along_axis(sizes, top, axis=-1)
        # Whatever logits are, half a margin is no rounding.
        rounding = np.minimum(_ROUNDED * step * sizes, margin / 2)
        change = np.maximum(np.abs(after - before) - rounding, 0)
        each: np.ndarray = (change / np.maximum(before, margin)).max(axis=-1)
    return each, np.take_along_axis(change, other, axis=-1)[:, 0] > 0
