"""Damage to files, as disks, copies, editors and other programs do it."""

import io
import json
import math
from typing import Any

import numpy as np

# What may stand where something else is expected.
_ODD_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 7, 1.5, -0.0, 1e300, 10**400, "", "x", "é\n", [], [1],
    [[]], {}, {"x": 1}, math.nan, math.inf,
)  # fmt: skip
_ODD_ARRAYS = (
    np.zeros(0), np.zeros(3), np.array(1), np.array("x"), np.full(20, np.nan),
    np.zeros((20, 2), np.int64), np.full(20, 10**12), np.full(20, -5),
    np.zeros(20, bool), np.full(20, 1 + 2j), np.full(20, "x"),
    np.zeros(20, "datetime64[s]"), np.zeros(20, [("a", "f4")]),
)  # fmt: skip


def flip(content, rng):
    """Turns one to eight bits."""
    found = bytearray(content)
    for _ in range(rng.integers(1, 9)):
        found[rng.integers(len(found))] ^= 1 << rng.integers(8)
    return bytes(found)


def truncate(content, rng):
    return content[: rng.integers(len(content))]


def zero(content, rng):
    """Blanks a block, as a disk does whose page was never written."""
    start = rng.integers(len(content))
    length = min(rng.integers(1, 513), len(content) - start)
    return content[:start] + bytes(length) + content[start + length :]


def lengthen(content, rng):
    return content + rng.bytes(rng.integers(1, 200))


def replace(content, rng):
    """Another kind of file."""
    others = (
        b"", b"{}", b"[]", b"null", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04",
        b"\xff" * 40, b"[" * 200_000, b'{"a":' * 100_000, rng.bytes(300),
        b"a,b\n1,2\n", b"\xef\xbb\xbf{}", b"<!DOCTYPE html>",
    )  # fmt: skip
    return others[rng.integers(len(others))]


BYTES = (flip, truncate, zero, lengthen, replace)


def change_json(content, rng):
    """Puts an odd value at a random place, or takes the place away."""
    value = json.loads(content)
    holder, key = places(value)[rng.integers(len(places(value)))]
    if isinstance(holder, dict) and rng.random() < 0.25:
        del holder[key]
    else:
        holder[key] = _ODD_VALUES[rng.integers(len(_ODD_VALUES))]
    return json.dumps(value).encode()


def repeat_key(content, rng):
    """States one thing twice, as a careless merge does."""
    value = json.loads(content)
    if not isinstance(value, dict):
        return b"{" + content
    names = list(value)
    name = names[rng.integers(len(names))]
    return b"{" + json.dumps(name).encode() + b": 1, " + content.lstrip()[1:]


def places(value):
    """Returns all containers of a JSON value, each with each of its keys."""
    found = []
    if isinstance(value, dict | list):
        keys = value if isinstance(value, dict) else range(len(value))
        for key in keys:
            found += [(value, key), *places(value[key])]
    return found


def change_arrays(content, rng):
    """Puts an odd array, or another's, in the place of one, or drops it."""
    with np.load(io.BytesIO(content)) as stored:
        arrays = {name: stored[name] for name in stored.files}
    names = sorted(arrays)
    name = names[rng.integers(len(names))]
    choice = rng.integers(4)
    if choice == 0:
        del arrays[name]
    elif choice == 1:
        arrays[name] = arrays[names[rng.integers(len(names))]]
    elif choice == 2 and arrays[name].ndim:
        arrays[name] = arrays[name][:-1]
    else:
        arrays[name] = _ODD_ARRAYS[rng.integers(len(_ODD_ARRAYS))]
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def change_rows(content, rng):
    """Drops, doubles or spoils a line of a table."""
    lines = content.splitlines(keepends=True)
    index = rng.integers(len(lines))
    odd = (
        b"", lines[index] * 2, b"\n", b"nan,nan\n", b'"', b"\r\r",
        b"x" * 200_000 + b"\n", lines[index].replace(b",", b",,", 1),
    )  # fmt: skip
    lines[index] = odd[rng.integers(len(odd))]
    return b"".join(lines)


JSON = (*BYTES, change_json, change_json, change_json, repeat_key)
ARRAYS = (*BYTES, change_arrays, change_arrays, change_arrays)
ROWS = (*BYTES, change_rows)
