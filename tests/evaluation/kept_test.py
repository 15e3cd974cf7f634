"""What an evaluation goes on from is as it was written, or worth nothing."""

import json

import numpy as np
import pytest

from tfgan_robust.attacks.engine.outcome import Outcome, StageTotals
from tfgan_robust.evaluation.kept import DamagedError, Entry, Kept, read_kept
from tfgan_robust.identity import of_arrays
from tfgan_robust.reports.verdicts import Check

IDENTITY = {"number of images": 5, "images": "abc"}


def make_kept():
    outcome = Outcome(
        fooled=np.array([True, False, True, False, False]),
        predicted=np.arange(5, dtype=np.int32),
        stage=np.array([0, 1, -1, 1, 1], np.int32),
        size=np.array([0.1, np.nan, 0, np.nan, np.nan], np.float32),
        stored=np.array([False, False, True, False, False]),
        totals=[StageTotals(3, 6, 3, 0.5), StageTotals()],
        largest_perturbation=0.1,
    )
    kept = Kept({"fgsm@0.1": Entry([{"name": "fgsm"}, {}], outcome)})
    kept.audits["eps=0.1"] = [Check("noise", "PASS", {"fgsm": 0.5}, "fine")]
    kept.smallest.offer(2, 0.05, "fgsm", 7, np.ones((4, 4, 3), np.float32))
    return kept


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "progress.npz"
    make_kept().write(file, IDENTITY)
    return file


def rewrite(path, meta=None, sign=True, **arrays):
    """Changes values in the file, with the digest that goes with them."""
    with np.load(path) as stored:
        found = {name: stored[name] for name in stored.files}
    if meta is not None:
        found["meta"] = np.array(
            json.dumps(meta(json.loads(str(found["meta"]))))
        )
    found.update(arrays)
    if sign:
        del found["digest"]
        found["digest"] = np.array(of_arrays(found))
    with path.open("wb") as file:
        np.savez(file, **found)


def test_what_is_written_is_read(path):
    identity, kept = read_kept(path)
    assert identity == IDENTITY
    (entry,) = kept.entries.values()
    (written,) = make_kept().entries.values()
    assert entry.plan == written.plan
    assert entry.outcome.totals == written.outcome.totals
    for part in ("fooled", "predicted", "stage", "size"):
        np.testing.assert_array_equal(
            getattr(entry.outcome, part), getattr(written.outcome, part)
        )
    assert kept.audits == make_kept().audits
    assert kept.smallest.found[2][:3] == (0.05, "fgsm", 7)
    assert read_kept(path.with_name("none.npz")) is None


@pytest.mark.parametrize(
    "change",
    [
        {"fgsm@0.1:fooled": np.zeros(4, bool)},
        {"fgsm@0.1:fooled": np.zeros(5)},
        {"fgsm@0.1:fooled": np.array(True)},
        {"fgsm@0.1:size": np.zeros((5, 1), np.float32)},
        {"fgsm@0.1:stage": np.full(5, 3, np.int32)},
        {"fgsm@0.1:stage": np.full(5, -5, np.int32)},
        {"smallest:2": np.zeros(3, np.float32)},
        {
            f"fgsm@0.1:{part}": np.zeros(9, kind)
            for part, kind in (
                ("fooled", bool), ("predicted", int), ("stage", int),
                ("size", np.float32),
            )
        },
    ],
)  # fmt: skip
def test_arrays_of_other_kinds_and_lengths_are_refused(path, change):
    rewrite(path, **change)
    with pytest.raises(DamagedError):
        read_kept(path)


def test_verdicts_of_the_right_kind_that_were_changed_are_noticed(path):
    rewrite(path, sign=False)
    assert read_kept(path)
    (entry,) = make_kept().entries.values()
    changed = {"fgsm@0.1:fooled": ~entry.outcome.fooled}
    rewrite(path, sign=False, **changed)
    with pytest.raises(DamagedError, match="belong together"):
        read_kept(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda meta: [],
        lambda meta: {n: v for n, v in meta.items() if n != "identity"},
        lambda meta: {**meta, "identity": 3},
        lambda meta: {**meta, "entries": {"pgd-5@0.1": {}}},
        lambda meta: {**meta, "smallest": [[1, 2]]},
        lambda meta: {**meta, "audits": {"a": [{"check": "noise"}]}},
    ],
)
def test_other_contents_are_refused(path, change):
    rewrite(path, meta=change)
    with pytest.raises(DamagedError):
        read_kept(path)


@pytest.mark.parametrize(
    "content", [b"", b"no zip", b"PK\x03\x04" + b"\0" * 99]
)
def test_other_files_are_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(DamagedError):
        read_kept(path)


def test_any_flipped_byte_is_noticed_or_harmless(path):
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    for place in generator.integers(0, len(whole), 300):
        changed = bytearray(whole)
        changed[place] ^= 1 << int(generator.integers(8))
        path.write_bytes(changed)
        try:
            identity, kept = read_kept(path)
        except DamagedError:
            continue
        # The zip's own sums cover contents: what is read is what was written.
        assert identity == IDENTITY
        for entry in kept.entries.values():
            assert list(entry.outcome.predicted) == [0, 1, 2, 3, 4]
