"""CIFAR-10 where it is absent and cannot be downloaded."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import tensorflow_datasets as tfds

from tfgan_robust.data import cifar10
from tfgan_robust.data.loading import load_test, load_training
from tfgan_robust.errors import DataNotFoundError


def assert_tells_how_to_place(message: str, data_dir: Path) -> None:
    for part in (
        f"Put {cifar10.ARCHIVE} (170052171 bytes, sha256 c4a38c50a1bc5f3a1c5",
        f"into {data_dir}/downloads/manual",
        "--data_dir of prepared data",
        "--dataset=digits needs no download",
    ):
        assert part in message


@pytest.mark.parametrize("load", [load_training, load_test])
def test_absent_data_without_network_say_what_to_do(
    load, tmp_path, monkeypatch
):
    monkeypatch.setattr(cifar10, "_reachable", lambda: False)
    with pytest.raises(DataNotFoundError) as error:
        load("cifar10", data_dir=tmp_path)
    assert error.value.exit_code == 4
    message = str(error.value)
    assert message.startswith(f"No prepared CIFAR-10 in {tmp_path}/cifar10/")
    assert_tells_how_to_place(message, tmp_path)


@pytest.mark.parametrize(
    "failure",
    [ConnectionResetError("gone"), tfds.download.DownloadError("HTTP 404")],
)
def test_a_download_that_fails_says_why_and_what_to_do(
    failure, tmp_path, monkeypatch
):
    def fail(*_, **__):
        raise failure

    monkeypatch.setattr(cifar10, "_reachable", lambda: True)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", fail)
    with pytest.raises(DataNotFoundError, match=str(failure)) as error:
        load_test("cifar10", data_dir=tmp_path)
    assert_tells_how_to_place(str(error.value), tmp_path)


def test_without_network_nothing_is_waited_for(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("Network is unreachable")

    def prepare(*_, **__):
        raise AssertionError("began to download")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(
        tfds.core.DatasetBuilder, "download_and_prepare", prepare
    )
    with pytest.raises(DataNotFoundError, match="cannot be reached"):
        load_test("cifar10", data_dir=tmp_path)


def test_a_host_that_never_answers_is_given_up(monkeypatch):
    over = threading.Event()

    def connect(*_):
        over.wait()
        raise OSError("Timed out")

    monkeypatch.setattr(cifar10, "_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(socket, "create_connection", connect)
    try:
        assert not cifar10._reachable()
    finally:
        over.set()


def test_a_host_that_answers_is_reachable(monkeypatch):
    here, there = socket.socketpair()
    monkeypatch.setattr(socket, "create_connection", lambda *_: here)
    assert cifar10._reachable()
    assert here.fileno() == -1  # Closed again.
    there.close()


def test_training_without_data_exits_with_4_and_leaves_nothing(tmp_path):
    run_dir, data_dir = tmp_path / "run", tmp_path / "empty"
    data_dir.mkdir()
    # Python imports this by itself; it takes the process off the network.
    (tmp_path / "sitecustomize.py").write_text(
        "import socket\n"
        "def refuse(*_):\n"
        "    raise OSError('Network is unreachable')\n"
        "socket.create_connection = refuse\n"
    )
    finished = subprocess.run(
        [
            sys.executable,
            "-m",
            "tfgan_robust.train",
            f"--data_dir={data_dir}",
            f"--run_dir={run_dir}",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert finished.returncode == 4
    assert finished.stdout == ""
    last = finished.stderr.splitlines()[-1]
    assert last.startswith("error: No prepared CIFAR-10 in ")
    assert_tells_how_to_place(last, data_dir)
    assert "Traceback" not in finished.stderr
    assert not run_dir.exists()
    assert not list(data_dir.iterdir())
