"""Workers that talk: they meet, agree, and learn that one is gone."""

import contextlib
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from ports import free_ports

from tfgan_robust.cli.signals import Terminated
from tfgan_robust.errors import (
    EXIT_INTERRUPTED,
    EXIT_TERMINATED,
    DivergenceError,
    TfganRobustError,
    UsageError,
)
from tfgan_robust.runs.cluster import Cluster
from tfgan_robust.training import meeting, team
from tfgan_robust.training.frames import Kind, Link, written
from tfgan_robust.training.team import Team, WorkerLostError

WAIT = 60


def clusters(count):
    ports = free_ports(count)
    addresses = tuple(f"127.0.0.1:{each}" for each in ports)
    return [Cluster(addresses, index) for index in range(count)]


def together(work, count=3, wait=WAIT, known=None):
    """Runs a function of the team on each worker, and returns what they
    return or raise."""

    def one(cluster):
        try:
            with Team(cluster, wait) as own:
                return work(own, cluster.index)
        except (Exception, KeyboardInterrupt) as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, known or clusters(count)))


def three_processes(script, addresses):
    """Starts a script as each worker: with all addresses, and its index."""
    return [
        subprocess.Popen(
            [sys.executable, "-c", script, ",".join(addresses), str(index)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(3)
    ]


def test_all_learn_what_each_has():
    found = together(lambda own, index: own.gather({"at": index}))
    assert found == [[{"at": 0}, {"at": 1}, {"at": 2}]] * 3


def test_what_the_chief_has_goes_to_all():
    large = bytes(range(256)) * 20_000

    def work(own, index):
        value = own.from_chief((index, "x"))
        files = own.files_from_chief(
            {"a": large, "b": b""} if own.leads else {}
        )
        return own.leads, value, files

    found = together(work)
    assert [leads for leads, _, _ in found] == [True, False, False]
    for _, value, files in found:
        assert value == [0, "x"]
        assert files == {"a": large, "b": b""}


def test_one_machine_is_a_team_of_its_own():
    with Team() as alone:
        assert (alone.count, alone.leads) == (1, True)
        assert alone.gather((1, 2)) == [[1, 2]]
        assert alone.from_chief("x") == "x"
        assert alone.files_from_chief({"a": b"1"}) == {"a": b"1"}
        alone.check_equal("settings", 1, lambda *_: ["never"])


def test_who_differs_from_the_chief_is_named_to_all():
    def work(own, index):
        own.check_equal(
            "settings",
            {"eps": 3 if index == 2 else 1},
            lambda chief, other: [
                f"{name}: {other[name]} there"
                for name in chief
                if chief[name] != other[name]
            ],
        )

    errors = together(work)
    for error in errors:
        assert isinstance(error, UsageError)
        assert "same settings. worker 2 (" in str(error)
        assert "eps: 3 there" in str(error)


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_of_one_ends_the_others_with_its_code(failing):
    def work(own, index):
        if index == failing:
            raise DivergenceError("loss became nan")
        own.gather(index)

    errors = together(work)
    assert isinstance(errors.pop(failing), DivergenceError)
    for error in errors:
        assert isinstance(error, WorkerLostError)
        assert error.exit_code == DivergenceError.exit_code
        assert "stopped: loss became nan" in str(error)


@pytest.mark.parametrize(
    ("signal", "code"),
    [(KeyboardInterrupt, EXIT_INTERRUPTED), (Terminated, EXIT_TERMINATED)],
)
@pytest.mark.parametrize("asked", [0, 1])
def test_a_signal_to_one_ends_the_others_with_its_code(asked, signal, code):
    def work(own, index):
        if index == asked:
            raise signal
        own.gather(index)

    errors = together(work)
    assert isinstance(errors.pop(asked), signal)
    for error in errors:
        assert isinstance(error, WorkerLostError)
        assert error.exit_code == code
        assert "was interrupted" in str(error)


def wait_until_others_are_done(own):
    while not all(peer.heard for peer in own._peers):
        time.sleep(0.01)


def test_an_error_of_the_chief_ends_workers_that_are_done():
    def work(own, index):
        if own.leads:
            wait_until_others_are_done(own)
            raise DivergenceError("no table")

    own, *others = together(work)
    assert str(own) == "no table"
    for error in others:
        assert isinstance(error, WorkerLostError)
        assert error.exit_code == DivergenceError.exit_code
        assert "the chief (" in str(error)
        assert "stopped: no table" in str(error)


def test_what_tensorflow_says_of_a_lost_worker_is_replaced():
    def work(own, index):
        if index == 1:
            raise TfganRobustError("no disk")
        raise RuntimeError("collective 7 was aborted")

    _, own, other = errors = together(work)
    assert str(own) == "no disk"
    assert isinstance(errors[0], WorkerLostError)
    # Either is the first that the third hears of.
    assert isinstance(other, WorkerLostError)
    assert "no disk" in str(errors[0])


def test_workers_that_are_done_wait_for_the_chief():
    done = threading.Event()

    def work(own, index):
        if index == 0:
            time.sleep(0.5)
            done.set()

    def one(cluster):
        with Team(cluster, WAIT) as own:
            work(own, cluster.index)
        return done.is_set()

    with ThreadPoolExecutor(3) as pool:
        assert all(pool.map(one, clusters(3)))


class Halting:
    """A socket from which nothing large is read until it may be."""

    def __init__(self, connected, reached, go):
        self._socket, self._reached, self._go = connected, reached, go

    def __getattr__(self, name):
        return getattr(self._socket, name)

    def recv(self, count):
        if count > 1000:
            self._reached.set()
            self._go.wait(WAIT / 2)
        return self._socket.recv(count)


def test_a_file_for_one_hides_no_sign_of_life_from_another(monkeypatch):
    """A checkpoint takes longer to be sent than silence is borne."""
    monkeypatch.setattr(team, "_BEAT", 0.02)
    # More than a connection holds.
    large = bytes(2**25)
    reached, go = threading.Event(), threading.Event()
    seen = []
    receive = Link.receive

    def counted(link, largest=None):
        frame = receive(link, largest)
        if link in others and frame.kind == Kind.BEAT and reached.is_set():
            seen.append(frame)
            if len(seen) == 3:
                go.set()
        return frame

    others = []
    monkeypatch.setattr(Link, "receive", counted)

    def work(own, index):
        if index == 1:
            link = own._peers[0].link
            link._socket = Halting(link._socket, reached, go)
        if index == 2:
            others.append(own._peers[0].link)
        own.gather(index)
        files = own.files_from_chief({"a": large} if own.leads else {})
        return files == {"a": large}, go.is_set()

    assert together(work) == [(True, True)] * 3


def test_a_loss_ends_all_while_a_file_is_sent(monkeypatch):
    """To another worker, who takes it too slowly."""
    monkeypatch.setattr(team, "_GRACE", 0.1)
    reached, left = threading.Event(), threading.Event()
    monkeypatch.setattr(team.command, "leave", lambda *_: left.set())

    def work(own, index):
        if index == 1:
            link = own._peers[0].link
            link._socket = Halting(link._socket, reached, left)
        if index == 2:
            # The names of the files.
            own.from_chief(None)
            assert reached.wait(WAIT / 4)
            own._peers[0].link.finish()
            assert left.wait(WAIT / 4)
        elif own.leads:
            own.files_from_chief({"a": bytes(2**25)})
        else:
            own.files_from_chief({})

    _, _, lost = together(work)
    assert not isinstance(lost, AssertionError) and left.is_set()


def test_silence_means_that_a_worker_is_gone(monkeypatch):
    monkeypatch.setattr(team, "_SILENCE", 0.2)
    monkeypatch.setattr(team, "_BEAT", 60)
    monkeypatch.setattr(meeting, "_PATIENCE", 0.2)

    def work(own, index):
        if index == 1:
            time.sleep(1)
        own.gather(index)

    chief, _ = together(work, count=2)
    assert isinstance(chief, WorkerLostError)
    assert "no sign of life" in str(chief)


STUCK = """
import sys, time
from tfgan_robust.runs.cluster import Cluster
from tfgan_robust.training import team

team._GRACE = 0.5
addresses, index = tuple(sys.argv[1].split(",")), int(sys.argv[2])
with team.Team(Cluster(addresses, index), 60) as own:
    own.gather(None)
    print("met", flush=True)
    time.sleep(600)
"""


def test_a_worker_that_waits_for_one_that_is_gone_is_ended():
    addresses = clusters(3)[0].addresses
    processes = three_processes(STUCK, addresses)
    for process in processes:
        assert process.stdout.readline() == "met\n"
    processes[1].kill()
    for index, process in enumerate(processes):
        _, errors = process.communicate(timeout=60)
        if index != 1:
            assert process.returncode == 1
            assert errors.startswith(
                f"error: worker 1 ({addresses[1]}) is gone"
            )
            assert len(errors.splitlines()) == 1


# The chief goes on alone, and is killed.
DONE = """
import sys, time
from tfgan_robust.cli import command
from tfgan_robust.runs.cluster import Cluster
from tfgan_robust.training.team import Team, WorkerLostError

addresses, index = tuple(sys.argv[1].split(",")), int(sys.argv[2])
try:
    with Team(Cluster(addresses, index), 60) as own:
        while own.leads and not all(peer.heard for peer in own._peers):
            time.sleep(0.01)
        if own.leads:
            print("alone", flush=True)
            time.sleep(600)
except WorkerLostError as error:
    command.leave(f"error: {error}", error.exit_code)
"""


def test_a_chief_that_is_killed_is_no_success_of_workers_that_are_done():
    addresses = clusters(3)[0].addresses
    chief, *others = three_processes(DONE, addresses)
    assert chief.stdout.readline() == "alone\n"
    assert [each.poll() for each in others] == [None, None]
    chief.kill()
    chief.communicate()
    for process in others:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 1
        assert errors.startswith(f"error: the chief ({addresses[0]}) is gone")


def test_who_does_not_come_is_named():
    known = clusters(3)[:2]
    chief, other = together(lambda *_: None, 2, wait=0.5, known=known)
    for error in (chief, other):
        assert error.exit_code == 1
        assert "worker 2 (" in str(error)
        assert "has not come within 0.5 s" in str(error)


def test_a_chief_that_does_not_come_is_named():
    known = clusters(2)[1:]
    (error,) = together(lambda *_: None, 1, wait=0.5, known=known)
    assert error.exit_code == 1
    assert "Cannot reach the chief (" in str(error)
    assert "refused" in str(error)


def test_a_chief_that_waits_for_others_is_no_stranger(monkeypatch):
    monkeypatch.setattr(meeting, "_PATIENCE", 0.1)
    known = clusters(2)
    port = int(known[0].addresses[0].rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        (error,) = together(lambda *_: None, 1, wait=0.2, known=known[1:])
    assert error.exit_code == 1
    assert "the chief (" in str(error)
    assert "did not begin within 0.2 s: it still waits for others" in str(error)


def come(cluster):
    """Comes as a worker does, and returns the connection."""
    host, _, port = cluster.addresses[0].rpartition(":")
    while True:
        with contextlib.suppress(ConnectionRefusedError):
            link = Link(socket.create_connection((host, int(port)), WAIT))
            hello = {"index": cluster.index, "addresses": cluster.addresses}
            link.send(Kind.VALUE, written(hello))
            return link


def test_a_worker_may_be_started_again_before_all_have_met():
    chief, *others = clusters(3)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(
            together, lambda own, index: own.gather(index), 1, known=[chief]
        )
        come(others[0]).close()
        found = together(lambda own, index: own.gather(index), 2, known=others)
        assert [*first.result(), *found] == [[0, 1, 2]] * 3


def test_a_worker_that_is_there_twice_is_refused():
    chief, other, _ = clusters(3)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(together, lambda *_: None, 1, known=[chief])
        link = come(other)
        (second,) = together(lambda *_: None, 1, known=[other])
        (error,) = first.result()
        link.close()
    for each in (error, second):
        assert isinstance(each, UsageError)
        assert "worker 1 (" in str(each) and "started twice" in str(each)


def test_another_cluster_is_refused():
    one = clusters(2)[0]
    other = Cluster((*one.addresses, "127.0.0.1:9"), 1)
    for error in together(lambda *_: None, known=[one, other], count=2):
        assert isinstance(error, UsageError)
        assert "must name the same workers everywhere" in str(error)


def test_a_port_in_use_is_named():
    (own,) = clusters(1)
    port = int(own.addresses[0].partition(":")[2])
    told = pytest.raises(TfganRobustError, match="Cannot listen at port")
    with socket.create_server(("", port)), told:
        meeting.meet(own, 1)


def test_strangers_at_the_port_are_no_workers():
    known = clusters(2)
    port = int(known[0].addresses[0].rpartition(":")[2])

    def disturb():
        while not done.is_set():
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", port), 1) as stranger,
            ):
                stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
            time.sleep(0.01)

    done = threading.Event()
    disturbing = threading.Thread(target=disturb)
    disturbing.start()
    found = together(lambda own, index: own.gather(index), 2, known=known)
    done.set()
    disturbing.join()
    assert found == [[0, 1]] * 2
