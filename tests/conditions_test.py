"""The commands where things go wrong: full disks, signals, odd names, size.

Each condition ends in a right result, or in one line and an exit code, and
the same command goes on once the condition is gone. All are slow: every case
starts processes.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import PIL.Image
import pytest

pytestmark = pytest.mark.slow

TINY = (
    "--dataset=digits", "--classifier_width=0.05", "--method=gan",
    "--generator_width=0.1",
    "--batch_size=128", "--train_images=640", "--eval_images=32",
    "--epochs=2", "--eval_every=1", "--checkpoint_every=2",
    "--report_images=0", "--precision=float32", "--deterministic",
)  # fmt: skip
MEASURED = ("--attacks=fgsm,pgd-5", "--eps=0.1", "--num_images=64",
            "--audit=false")  # fmt: skip
ENVIRONMENT = {
    **os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2",
}  # fmt: skip


def command(name, *arguments):
    return [sys.executable, "-m", f"tfgan_robust.{name}", *arguments]


def commands(run, out):
    """Each command with what it reads in `run` and writes to `out`."""
    return {
        "train": command("train", f"--run_dir={out}", *TINY),
        "evaluate": command(
            "evaluate", f"--run_dir={run}", f"--output={out}", *MEASURED
        ),
        "compare": command("compare", f"{run}", f"--output={out}"),
        "export": command("export", f"--run_dir={run}", f"--output={out}"),
    }


def call(line, environment=ENVIRONMENT, **keywords):
    return subprocess.run(
        line, capture_output=True, text=True, env=environment, **keywords
    )


def start(line):
    # Whoever runs the tests in the background ignores Ctrl-C.
    return subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=ENVIRONMENT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def error_of(done, codes=(1,)):
    """The one line of a refusal."""
    assert done.returncode in codes, done.stdout + done.stderr
    errors = [x for x in done.stderr.splitlines() if x.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return errors[0]


def wait_for(condition, process, seconds=300):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def figures(folder):
    stored = json.loads((folder / "results.json").read_text())
    return {
        (r["attack"], r["eps"]): r["num_correct"] for r in stored["results"]
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that ended and was measured."""
    folder = tmp_path_factory.mktemp("conditions") / "run"
    done = call(command("train", f"--run_dir={folder}", *TINY))
    assert done.returncode == 0, done.stderr
    done = call(command("evaluate", f"--run_dir={folder}", *MEASURED))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def disk(tmp_path):
    """Mounts a small file system; returns a function that sets its options."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder],
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("mounting a file system needs root")

    def remount(options):
        subprocess.run(
            ["mount", "-o", f"remount,{options}", folder], check=True
        )
        return folder

    yield remount
    subprocess.run(["umount", "-l", folder], check=True)


NAMES = ("train", "evaluate", "compare", "export")


@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_ends_in_a_line_and_room_mends_it(run, disk, name):
    folder = disk("size=8k" if name == "evaluate" else "size=64k")
    line = commands(run, folder / "out")[name]
    assert "No space left" in error_of(call(line))
    assert not list(folder.rglob("results.json"))
    disk("size=100m")
    done = call(line)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_that_cannot_be_written_is_named(run, disk, name):
    folder = disk("ro")
    refused = error_of(call(commands(run, folder / "out")[name]), codes=(1, 2))
    assert str(folder) in refused and "ead-only" in refused


def test_two_trainings_do_not_share_a_folder(tmp_path):
    line = command("train", f"--run_dir={tmp_path / 'run'}", *TINY)
    first = start([*line, "--epochs=6"])
    wait_for((tmp_path / "run" / "config.json").exists, first)
    refused = error_of(call([*line, "--epochs=6"]), codes=(2,))
    assert "Another process" in refused
    first.send_signal(signal.SIGTERM)
    output, errors = first.communicate(timeout=120)
    assert first.returncode == 143, output + errors


def test_two_evaluations_do_not_mix(run, tmp_path):
    line = commands(run, tmp_path / "out")["evaluate"]
    both = [start(line), start(line)]
    ends = [process.communicate(timeout=600) for process in both]
    codes = [process.returncode for process in both]
    # Both, if the first had ended before the second began.
    assert sorted(codes) in ([0, 0], [0, 2]), ends
    for code, (_, errors) in zip(codes, ends, strict=True):
        assert code == 0 or "Another process is measuring into" in errors
    assert figures(tmp_path / "out") == figures(run)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_stops_training_at_once(run, tmp_path, number):
    line = command("train", f"--run_dir={tmp_path / 'run'}", *TINY)
    longer = [*line, "--epochs=6"]
    process = start(longer)
    # Asked at once, whatever it is at.
    wait_for((tmp_path / "run" / "config.json").exists, process)
    process.send_signal(number)
    time.sleep(0.05)
    process.send_signal(number)
    output, errors = process.communicate(timeout=120)
    expected = {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    assert process.returncode == expected, output + errors
    assert "Traceback" not in output + errors
    done = call(longer)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_an_evaluation_that_is_stopped_goes_on(run, tmp_path, number, code):
    longer = [
        *commands(run, tmp_path / "out")["evaluate"],
        "--attacks=fgsm,pgd-2000",
    ]
    process = start(longer)
    wait_for((tmp_path / "out" / "progress.npz").exists, process)
    process.send_signal(number)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == code, output + errors
    assert "Traceback" not in output + errors
    results = tmp_path / "out" / "results.json"
    # What had come to its end is there, and says that it is not all.
    assert not json.loads(results.read_text())["complete"]
    done = call(longer)
    assert done.returncode == 0, done.stderr
    assert json.loads(results.read_text())["complete"]
    assert {"fgsm", "pgd-2000"} <= {a for a, _ in figures(results.parent)}


@pytest.mark.parametrize(
    "changes",
    [
        {"HOME": None},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"TMPDIR": "/nowhere", "HOME": "/nowhere"},
        {"TERM": "dumb", "COLUMNS": "20"},
    ],
    ids=lambda changes: ",".join(changes),
)
def test_a_bare_environment_is_enough(run, tmp_path, changes):
    environment = {**ENVIRONMENT, **changes}
    environment = {k: v for k, v in environment.items() if v is not None}
    for name in NAMES:
        line = commands(run, tmp_path / name / "out")[name]
        done = call(line, environment)
        assert done.returncode == 0, (name, done.stderr)
    assert figures(tmp_path / "evaluate" / "out") == figures(run)


@pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
def test_names_of_all_kinds(run, tmp_path, locale):
    odd = tmp_path / "with space, ümlaut 图像 и 'quotes' #1"
    there = shutil.copytree(run, odd / "run")
    environment = {**ENVIRONMENT, "LC_ALL": locale}
    for name in NAMES:
        line = commands(there, odd / name)[name]
        done = call(line, environment)
        assert done.returncode == 0, (name, done.stderr)


def draw_folder(folder, side, count=20):
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for name, level in (("dark", 60), ("light", 190)):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(level - 50, level + 50, (side, side, 3))
                image = PIL.Image.fromarray(pixels.astype(np.uint8))
                image.save(folder / split / name / f"{number}.png")


def test_an_image_of_20_000_pixels_a_side(tmp_path):
    draw_folder(tmp_path / "images", 16)
    huge = tmp_path / "images" / "train" / "dark" / "huge.png"
    PIL.Image.new("1", (20_000, 20_000)).save(huge)
    line = command(
        "train", "--dataset=folder", f"--data_dir={tmp_path / 'images'}",
        "--image_size=16", f"--run_dir={tmp_path / 'run'}",
        "--classifier_width=0.05", "--epochs=1", "--batch_size=16",
        "--eval_images=8", "--validation_images=8", "--report_images=0",
    )  # fmt: skip
    done = call(line)
    refused = error_of(done, codes=(2, 4))
    assert "huge.png" in refused
    assert not (tmp_path / "run").exists()


def peak_memory(code):
    """MiB that a fresh process needs for some lines of Python."""
    tail = (
        "\nimport resource"
        "\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    )
    done = call([sys.executable, "-c", code + tail])
    assert done.returncode == 0, done.stderr
    return int(done.stdout.splitlines()[-1])


def test_memory_over_100_000_evaluated_images():
    code = """
import numpy as np, keras, tfgan_robust as tr
keras.utils.set_random_seed(0)
model = keras.Sequential(
    [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]
)
images = np.random.default_rng(0).integers(0, 256, ({}, 8, 8, 1), np.uint8)
labels = model.predict(images / np.float32(255), verbose=0).argmax(1)
result = tr.evaluate_classifier(
    tr.Classifier.from_keras(model), images, labels, attacks=["pgd-5"],
    eps=[0.01], batch_size=256,
)
print(result.table())
"""
    few, many = (peak_memory(code.format(n)) for n in (10_000, 100_000))
    print(f"peak memory: {few} MiB for 10,000 images, {many} for 100,000")
    # What the images themselves take, several times over.
    assert many - few < 400


def test_memory_over_50_epochs(tmp_path):
    peaks = {}
    for epochs in (5, 50):
        folder = tmp_path / str(epochs)
        with start(
            [*command("train", f"--run_dir={folder}", *TINY),
             f"--epochs={epochs}"]
        ) as process:  # fmt: skip
            output, errors = process.stdout.read(), process.stderr.read()
            _, status, usage = os.wait4(process.pid, 0)
            # It would not know, and wait for it.
            process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, output + errors
        peaks[epochs] = usage.ru_maxrss // 1024
    print(f"peak memory in MiB by epochs: {peaks}")
    assert peaks[50] < 1.1 * peaks[5]
