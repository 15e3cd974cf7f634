"""How workers find each other before TensorFlow starts.

TensorFlow would wait without end for a worker that does not come, or that has
other settings and so asks for other collectives.
"""

import contextlib
import errno
import json
import socket
import time
from collections.abc import Iterator

from tfgan_robust.errors import TfganRobustError, UsageError, shown
from tfgan_robust.runs.cluster import VARIABLE, Cluster
from tfgan_robust.training.frames import Kind, Link, ending, written

# What a stranger may send, and for how long.
_LARGEST, _PATIENCE = 2**16, 5.0
_PAUSE = 0.2


def meet(cluster: Cluster, wait: float) -> dict[int, Link]:
    """Connects all workers with the chief.

    Args:
        cluster: Who they are.
        wait: Seconds in which all must have come.

    Returns:
        For the chief a connection to each other worker, by index; for the
        others one to the chief.

    Raises:
        TfganRobustError: if somebody does not come.
        UsageError: if they do not name the same workers.
    """
    deadline = time.monotonic() + wait
    if not cluster.leads:
        with _listener(cluster):
            pass  # TensorFlow will need it, and say less if it is taken.
        return {0: _find_chief(cluster, deadline, wait)}
    met: dict[int, Link] = {}
    try:
        with _listener(cluster) as listener:
            while len(met) < len(cluster.addresses) - 1:
                link = _accept(listener, deadline)
                if link is None:
                    raise _absent(cluster, met, wait)
                _forget_ended(met)
                index = _greet(cluster, link, met)
                if index is not None:
                    met[index] = link
    except TfganRobustError as error:
        for link in met.values():
            _dismiss(link, str(error), error.exit_code)
        raise
    for link in met.values():
        with contextlib.suppress(OSError):  # It is missed soon enough.
            link.send(Kind.VALUE, written("met"))
    return met


@contextlib.contextmanager
def _listener(cluster: Cluster) -> Iterator[socket.socket]:
    """Listens at this worker's port on all of the machine's addresses."""
    port = _split(cluster.addresses[cluster.index])[1]
    try:
        listener = _create(port)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        raise TfganRobustError(
            f"Cannot listen at port {port}, which {VARIABLE} gives "
            f"{cluster.name(cluster.index)}: {error.strerror}. "
            + (
                "End what uses it, such as an earlier run, or name another."
                if taken
                else "Name another."
            )
        ) from None
    with listener:
        yield listener


def _create(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        # The machine may have no IPv6 though its system has.
        with contextlib.suppress(OSError):
            return socket.create_server(
                ("", port), family=socket.AF_INET6, dualstack_ipv6=True
            )
    return socket.create_server(("", port))


def _accept(listener: socket.socket, deadline: float) -> Link | None:
    """Returns whoever comes next, None if nobody does."""
    listener.settimeout(max(0.01, deadline - time.monotonic()))
    try:
        return Link(listener.accept()[0])
    except TimeoutError:
        return None


def _forget_ended(met: dict[int, Link]) -> None:
    """Lets workers come again that were started anew meanwhile."""
    for index in [n for n, link in met.items() if link.has_ended()]:
        met.pop(index).close()


def _greet(cluster: Cluster, link: Link, met: dict[int, Link]) -> int | None:
    """Returns the index of who came, None for one that does not belong here.

    Raises:
        UsageError: if a worker comes from another cluster, or twice.
    """
    link.expect_within(_PATIENCE)
    try:
        hello = json.loads(link.receive(_LARGEST).payload)
        index, addresses = hello["index"], hello["addresses"]
    except (OSError, ValueError, KeyError, TypeError):
        link.close()  # No worker: whatever looks for open ports.
        return None
    problem = ""
    if addresses != list(cluster.addresses):
        problem = (
            f"{VARIABLE} must name the same workers everywhere. Received: "
            f"{shown(', '.join(map(str, addresses)))} from a worker, "
            f"{shown(', '.join(cluster.addresses))} from the chief."
        )
    elif index in met:
        problem = f"{cluster.name(index)} was started twice."
    if problem:
        _dismiss(link, problem, UsageError.exit_code)
        raise UsageError(problem)
    return index


def _absent(
    cluster: Cluster, met: dict[int, Link], wait: float
) -> TfganRobustError:
    absent = [
        cluster.name(index)
        for index in range(1, len(cluster.addresses))
        if index not in met
    ]
    verb = "has" if len(absent) == 1 else "have"
    return TfganRobustError(
        f"{', '.join(absent)} {verb} not come within {wait:g} s. Start the "
        f"same command there, see that {cluster.name(0)} can be reached from "
        "there, or give `worker_timeout`."
    )


def _dismiss(link: Link, reason: str, exit_code: int) -> None:
    with contextlib.suppress(OSError):
        link.send(Kind.END, ending(reason, exit_code))
    link.finish()
    link.close()


def _find_chief(cluster: Cluster, deadline: float, wait: float) -> Link:
    problem = "no answer"
    while (left := deadline - time.monotonic()) > 0:
        try:
            link = Link(
                socket.create_connection(
                    _split(cluster.addresses[0]), min(left, _PATIENCE)
                )
            )
        except OSError as error:
            problem = error.strerror or str(error) or type(error).__name__
            time.sleep(min(left, _PAUSE))
            continue
        # The chief, which tells who has not come, gives up a little sooner.
        link.expect_within(left + _PATIENCE)
        hello = {"index": cluster.index, "addresses": cluster.addresses}
        try:
            link.send(Kind.VALUE, written(hello))
            frame = link.receive(_LARGEST)
        except TimeoutError:
            link.close()
            raise TfganRobustError(
                f"{cluster.name(0)} was reached, and did not begin within "
                f"{wait:g} s: it still waits for others, unless something "
                "else answers there. Start the same command on all workers, "
                "or give `worker_timeout`."
            ) from None
        except (OSError, ValueError):
            problem = "something else answers there"
            link.close()
            time.sleep(min(left, _PAUSE))
            continue
        if frame.kind == Kind.END:
            link.close()
            raise _told(json.loads(frame.payload))
        return link
    raise TfganRobustError(
        f"Cannot reach {cluster.name(0)} within {wait:g} s: {problem}. Start "
        f"the same command there, mend {VARIABLE}, or give `worker_timeout`."
    )


def _told(end: dict[str, object]) -> TfganRobustError:
    kind = (
        UsageError
        if end["exit_code"] == UsageError.exit_code
        else TfganRobustError
    )
    return kind(str(end["reason"]))


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
