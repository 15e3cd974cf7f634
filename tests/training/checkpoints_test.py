"""The folder of checkpoints holds what a run goes on from, and no more."""

import types

import keras
import numpy as np
import pytest

from tfgan_robust.training.checkpoints import RunState


def make_model():
    """All that a `RunState` keeps, of one weight."""
    weight = keras.Variable([0.0])
    optimizer = keras.optimizers.SGD(momentum=0.9)
    optimizer.build([weight])
    return types.SimpleNamespace(
        variables=[weight],
        metrics=[],
        optimizer=optimizer,
        generator_optimizers=[],
    )


def save(state, model, step):
    model.variables[0].assign([float(step)])
    state.progress["step"] = step
    state.save(step)


def restored(folder):
    """Returns the step and the weight that a new process goes on from."""
    model = make_model()
    state = RunState(model, folder)
    assert state.restore()
    return state.progress["step"], float(np.asarray(model.variables[0])[0])


def names(folder):
    return {file.name.partition(".")[0] for file in folder.iterdir()}


@pytest.fixture
def folder(tmp_path):
    """Checkpoints of the steps 2 and 3."""
    model = make_model()
    state = RunState(model, tmp_path)
    for step in (1, 2, 3):
        save(state, model, step)
    return tmp_path


def test_the_newest_two_are_kept(folder):
    assert names(folder) == {"checkpoint", "ckpt-2", "ckpt-3"}
    assert restored(folder) == (3, 3.0)


def test_what_the_list_does_not_name_goes_with_the_next(folder):
    # As after a kill between the two, or where the list was lost.
    (folder / "checkpoint").unlink()
    (folder / "ckpt-1.data-00000-of-00001").touch()
    (folder / "ckpt-9.data-00000-of-00001").touch()
    (folder / "ckpt-best.index").touch()
    model = make_model()
    state = RunState(model, folder)
    assert state.restore()
    save(state, model, 4)
    assert names(folder) == {"checkpoint", "ckpt-3", "ckpt-4", "ckpt-best"}
    (folder / "ckpt-4.data-00000-of-00001").write_bytes(b"damaged")
    assert restored(folder) == (3, 3.0)


def test_a_damaged_later_step_is_made_anew(folder):
    (folder / "ckpt-3.data-00000-of-00001").write_bytes(b"damaged")
    model = make_model()
    state = RunState(model, folder)
    assert state.restore()
    assert state.progress["step"] == 2
    save(state, model, 3)
    assert names(folder) == {"checkpoint", "ckpt-2", "ckpt-3"}
    assert restored(folder) == (3, 3.0)
