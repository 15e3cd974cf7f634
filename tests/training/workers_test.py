"""Several workers on one machine, as users start them: equal to one, stopped,
killed, resumed, refused."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from cases import slow
from ports import free_ports

import tfgan_robust

# Some workers are started in another folder.
PATH = os.pathsep.join(
    filter(
        None,
        [
            str(Path(tfgan_robust.__file__).parents[1]),
            os.environ.get("PYTHONPATH"),
        ],
    )
)
SETTINGS = {
    "dataset": "digits",
    "method": "natural",
    "precision": "float32",
    "batch_size": 96,
    "train_images": 480,
    "eval_images": 96,
    "epochs": 2,
    "eval_every": 2,
    "checkpoint_every": 2,
    "averaging": 0.9,
}
# Long enough to be stopped on the way.
LONG = {"epochs": 40, "eval_every": 40}
# Of one step by many images, whatever adds them up.
CLOSE = 1e-5
# Writes the weights that a worker ends with, which the chief alone stores.
PROBE = """
import os
import numpy as np
from tfgan_robust.training import loop
from tfgan_robust.training.loop import Trainer

build_model = loop.build_model

def build(*args, **given):
    model = build_model(*args, **given)
    kernel = model.classifier.trainable_variables[0]
    kernel.assign(kernel + float(os.environ.get("SHIFT", "0")))
    return model

loop.build_model = build
train = Trainer.train

def train_and_tell(self):
    code = train(self)
    weights = [np.asarray(v) for v in self.model.variables]
    np.savez(os.environ["WEIGHTS"], *weights)
    return code

Trainer.train = train_and_tell
"""


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A folder with a classifier and a module that tells of weights."""
    folder = tmp_path_factory.mktemp("workers")
    (folder / "probe.py").write_text(PROBE)
    keras.utils.set_random_seed(1)
    # Without kinks, at which rounding becomes a difference; its statistics
    # are of each device's own images until training makes them common.
    layers = [
        keras.Input((16, 16, 3)),
        keras.layers.Conv2D(4, 3, strides=2, padding="same"),
        keras.layers.BatchNormalization(),
        keras.layers.Activation("softplus"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(10),
    ]
    keras.Sequential(layers).save(folder / "smooth.keras")
    return folder


class Workers:
    """Processes of one command, each with its own folder to write to.

    Args:
        room: The fixture.
        name: Of what they write; the run directory of worker 1 is NAME-1.
        changes: For each worker, settings unlike `SETTINGS`.
        run: The run directory of the chief, unless it is NAME-0.
        workers: How many TF_CONFIG names, if not all are started.
    """

    def __init__(self, room, name, changes, *, run=None, workers=None):
        self.folders = [room / f"{name}-{n}" for n in range(len(changes))]
        if run is not None:
            self.folders[0] = run
        self._weights = [room / f"{name}-{n}.npz" for n in range(len(changes))]
        ports = free_ports(workers or len(changes))
        self.addresses = [f"127.0.0.1:{port}" for port in ports]
        self.processes = []
        for index, changed in enumerate(changes):
            settings = {
                **SETTINGS,
                "classifier": str(room / "smooth.keras"),
                **changed,
            }
            report = settings.pop("report_images", 0)
            shift = settings.pop("shift", "0")
            folder = settings.pop("folder", None)
            config = room / f"{name}-{index}.json"
            config.write_text(json.dumps(settings))
            self.processes.append(
                subprocess.Popen(
                    [
                        sys.executable,
                        "-m",
                        "tfgan_robust.train",
                        f"--config={config}",
                        f"--run_dir={self.folders[index]}",
                        f"--import={room / 'probe.py'}",
                        f"--report_images={report}",
                        "--report_attacks=fgsm",
                    ],
                    env={
                        **os.environ,
                        "TF_CONFIG": tf_config(self.addresses, index),
                        "WEIGHTS": str(self._weights[index]),
                        "SHIFT": shift,
                        "PYTHONPATH": PATH,
                    },
                    cwd=folder,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )

    def end(self):
        """Returns exit code, output and last line of errors of each."""
        found = []
        for process in self.processes:
            output, errors = process.communicate(timeout=900)
            assert "Traceback" not in errors, errors
            lines = errors.splitlines() or [""]
            found.append((process.returncode, output, lines[-1]))
        return found

    def succeed(self):
        """Returns the weights that each worker ends with."""
        ended = self.end()
        assert [code for code, _, _ in ended] == [0] * len(ended), ended
        return self.weights()

    def weights(self):
        return [list(np.load(file).values()) for file in self._weights]

    def wait_for_step(self, step):
        while newest_step(self.folders[0]) < step:
            for process in self.processes:
                assert process.poll() is None, process.communicate()
            time.sleep(0.05)


def tf_config(addresses, index):
    task = {"type": "worker", "index": index}
    return json.dumps({"cluster": {"worker": addresses}, "task": task})


def newest_step(folder):
    files = (folder / "checkpoints").glob("ckpt-*.index")
    return max((int(f.stem.partition("-")[2]) for f in files), default=-1)


def moments_of_generators(folder):
    """What Adam remembers of gradients at the end of a run, by name."""
    newest = folder / "checkpoints" / f"ckpt-{newest_step(folder)}"
    stored = tf.train.load_checkpoint(str(newest))
    return {
        name: stored.get_tensor(name)
        for name, shape in stored.get_variable_to_shape_map().items()
        # The classifier's is the first.
        if name.startswith(("optimizers/1/", "optimizers/2/")) and shape
    }


def assert_close(weights, others, largest):
    assert len(weights) == len(others) > 0
    for one, other in zip(weights, others, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=largest)


@pytest.fixture(scope="module")
def alone(room):
    """The weights of one worker."""
    (weights,) = Workers(room, "alone", [{}]).succeed()
    return weights


@pytest.mark.slow
def test_two_workers_train_like_one(room, alone):
    two = Workers(room, "two", [{}, {}])
    first, second = two.succeed()
    assert_close(first, second, 0)
    assert_close(first, alone, CLOSE)
    trained = two.folders[0] / "last" / "classifier.keras"
    kernels = [
        keras.models.load_model(path).get_weights()[0]
        for path in (room / "smooth.keras", trained)
    ]
    assert np.max(np.abs(kernels[1] - kernels[0])) > 100 * CLOSE
    assert (two.folders[0] / "best" / "classifier.keras").is_file()
    stored = json.loads((two.folders[0] / "config.json").read_text())
    assert stored["workers"] == 2
    # The chief alone writes.
    assert not two.folders[1].exists()


@pytest.mark.slow
def test_three_workers_train_like_one(room, alone):
    first, *others = Workers(room, "three", [{}, {}, {}]).succeed()
    for other in others:
        assert_close(first, other, 0)
    assert_close(first, alone, CLOSE)


@pytest.mark.slow
def test_generators_are_equal_on_all_workers_and_the_chief_reports(room):
    changed = {
        "method": "gan",
        "classifier": "vgg",
        "classifier_width": 0.05,
        "generator_width": 0.1,
        "dropout_scale": 1.0,
        "epochs": 1,
        "eval_every": 1,
        "report_images": 20,
    }
    workers = Workers(room, "gan", [changed, changed])
    chief, other = workers.end()
    assert (chief[0], other[0]) == (0, 0), (chief, other)
    first, second = workers.weights()
    assert_close(first, second, 0)
    assert "| attack" in chief[1]
    assert "| attack" not in other[1]
    assert (workers.folders[0] / "results.json").is_file()
    assert not workers.folders[1].exists()


@pytest.mark.slow
def test_generators_of_two_workers_train_like_those_of_one(room):
    """Nothing is drawn for each device: formulation x, no random start.

    The generators' Adam makes whole steps of rounding noise: small ones here.
    """
    changed = {
        "method": "gan",
        "formulation": "x",
        "generator_assignment": "all",
        "generator_width": 0.1,
        "generator_learning_rate": 1e-7,
        "gradient_skip": 0.0,
        "zero_output": False,
        "random_start": 0.0,
        "clean_weight": 0.0,
    }
    one, two = (
        Workers(room, f"gan-{count}", [changed] * count) for count in (1, 2)
    )
    (alone,) = one.succeed()
    first, second = two.succeed()
    assert_close(first, second, 0)
    assert_close(first, alone, CLOSE)
    # So small that weights would hardly differ, whatever the gradients are.
    expected = moments_of_generators(one.folders[0])
    found = moments_of_generators(two.folders[0])
    assert found.keys() == expected.keys() and len(found) > 20
    for name, moment in expected.items():
        largest = np.max(np.abs(moment))
        assert largest > 0
        np.testing.assert_allclose(found[name], moment, atol=1e-2 * largest)


@pytest.fixture(scope="module")
def long_alone(room):
    """The weights of one worker that trains for long."""
    (weights,) = Workers(room, "long", [LONG]).succeed()
    return weights


def _resume(room, name, run, count, expected):
    """Goes on to the end, which must be that of a run without a stop."""
    step = newest_step(run)
    assert 0 < step < 200
    resumed = Workers(room, name, [LONG] * count, run=run)
    ended = resumed.end()
    assert [code for code, _, _ in ended] == [0] * count, ended
    assert f"resuming at step {step} of 200" in ended[0][1]
    for weights in resumed.weights():
        assert_close(weights, expected, CLOSE)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1], ids=["chief", "worker"])
def test_a_killed_worker_ends_all_and_any_number_resumes(
    room, long_alone, victim
):
    workers = Workers(room, f"killed-{victim}", [LONG] * 2)
    workers.wait_for_step(6)
    workers.processes[victim].kill()
    killed = time.monotonic()
    other = workers.processes[1 - victim]
    _, errors = other.communicate(timeout=60)
    assert time.monotonic() - killed < 60
    assert other.returncode == 1
    name = "the chief" if victim == 0 else "worker 1"
    last = errors.splitlines()[-1]
    assert f"error: {name} ({workers.addresses[victim]}) is gone." in last
    assert "goes on from its last checkpoint" in last
    assert "Traceback" not in errors
    workers.processes[victim].communicate()
    count = 3 if victim else 1
    run = workers.folders[0]
    _resume(room, f"resumed-{victim}", run, count, long_alone)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "number", "code"),
    [(0, signal.SIGINT, 130), (1, signal.SIGTERM, 143)],
)
def test_a_signal_to_one_stops_all_after_the_same_step(
    room, long_alone, asked, number, code
):
    workers = Workers(room, f"signal-{asked}", [LONG] * 2)
    workers.wait_for_step(6)
    workers.processes[asked].send_signal(number)
    ended = workers.end()
    assert [each[0] for each in ended] == [code, code], ended
    said = [
        next(line for line in output.splitlines() if "stopped at" in line)
        for _, output, _ in ended
    ]
    assert said[0] == said[1]
    run = workers.folders[0]
    assert f"stopped at step {newest_step(run)} of 200" in said[0]
    first, second = workers.weights()
    assert_close(first, second, 0)
    _resume(room, f"continued-{asked}", run, 2, long_alone)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        *slow(
            ({"learning_rate_schedule": "constant"}, "learning_rate_schedule: ")
        ),
        ({"train_images": 576}, "train_images: 576 there, 480 here"),
    ],
)
def test_a_worker_with_other_settings_is_refused(room, changed, told):
    name = f"other-{next(iter(changed))}"
    workers = Workers(room, name, [{}, changed])
    for code, _, error in workers.end():
        assert code == 2
        assert "must have the same settings" in error
        assert told in error
        assert f"worker 1 ({workers.addresses[1]}) differs" in error
    assert not any(folder.exists() for folder in workers.folders)


@pytest.mark.slow
def test_a_worker_with_other_data_is_refused(room):
    changes = []
    for index in range(2):
        data = room / f"pictures-{index}"
        for number in range(24):
            name = ("ant", "bee")[number % 2]
            # One picture is another one.
            seed = number + 1000 * index * (number == 7)
            for part in ("train", "test"):
                write_picture(data / part / name / f"{number}.png", seed)
        changes.append(
            {
                "dataset": "folder",
                "data_dir": str(data),
                "batch_size": 8,
                "train_images": None,
                "validation_images": 4,
                "eval_images": 4,
            }
        )
    workers = Workers(room, "other-data", changes)
    for code, _, error in workers.end():
        assert code == 2
        assert "must have the same images" in error
        assert "images of " in error
    assert not any(folder.exists() for folder in workers.folders)


@pytest.mark.slow
def test_a_worker_with_another_file_at_the_same_path_is_refused(room):
    model = keras.models.load_model(room / "smooth.keras")
    folders = [room / f"machine-{index}" for index in range(2)]
    for folder in folders:
        folder.mkdir()
        model.save(folder / "own.keras")
        model.layers[-1].bias.assign_add([1.0] * 10)
    changes = [{"classifier": "own.keras", "folder": each} for each in folders]
    workers = Workers(room, "other-file", changes)
    for code, _, error in workers.end():
        assert code == 2
        assert "must have the same settings" in error
        assert "content of the classifier's file: " in error
    assert not any(folder.exists() for folder in workers.folders)


@pytest.mark.slow
def test_a_worker_that_begins_with_other_weights_is_refused(room):
    workers = Workers(room, "other-code", [{}, {"shift": "0.125"}])
    for code, _, error in workers.end():
        assert code == 2
        assert "must have the same weights" in error
        assert f"worker 1 ({workers.addresses[1]}) differs" in error
        assert error.endswith(": classifier.")
    assert not any(folder.exists() for folder in workers.folders)


def write_picture(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(256, size=(16, 16, 3))
    PIL.Image.fromarray(pixels.astype(np.uint8)).save(path)


def refused(tmp_path, text, *flags):
    """Returns exit code and the one line of a command that does not start."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tfgan_robust.train",
            "--dataset=digits",
            "--batch_size=96",
            f"--run_dir={tmp_path / 'run'}",
            *flags,
        ],
        env={**os.environ, "TF_CONFIG": text},
        capture_output=True,
        text=True,
    )
    assert not (tmp_path / "run").exists()
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr.splitlines()[-1]


def test_a_broken_tf_config_ends_in_a_line(tmp_path):
    code, line = refused(tmp_path, "{worker")
    assert code == 2
    assert line.startswith("error: TF_CONFIG is no JSON")
    assert "unset it to train on one machine" in line


def test_several_workers_without_tf_config_are_refused(tmp_path):
    code, line = refused(tmp_path, "", "--strategy=multi_worker")
    assert code == 2
    assert "--strategy=multi_worker needs TF_CONFIG" in line


@pytest.mark.slow
@pytest.mark.parametrize(
    ("index", "told"),
    [
        (0, "worker 1 (127.0.0.1:"),
        (1, "Cannot reach the chief (127.0.0.1:"),
    ],
)
def test_a_worker_that_is_not_there_is_named(tmp_path, index, told):
    ports = free_ports(2)
    addresses = [f"127.0.0.1:{port}" for port in ports]
    text = tf_config(addresses, index)
    code, line = refused(tmp_path, text, "--worker_timeout=1")
    assert code == 1
    assert told in line
    assert "within 1 s" in line
    assert "--worker_timeout" in line


@pytest.mark.slow
def test_a_batch_that_workers_cannot_share_is_refused(tmp_path):
    addresses = [f"127.0.0.1:{port}" for port in free_ports(5)]
    code, line = refused(tmp_path, tf_config(addresses, 0))
    assert code == 2
    assert "--batch_size must be a multiple of 5" in line
    assert "with 5 workers of 1 devices each" in line
