"""The machines that train together, as TF_CONFIG names them."""

import dataclasses
import json
import os
from collections.abc import Mapping
from typing import Any

from tfgan_robust.errors import UsageError, shown

VARIABLE = "TF_CONFIG"
# In TensorFlow's order, whose first worker leads.
_JOBS = ("chief", "worker")
_EXAMPLE = (
    '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)
_LARGEST_PORT = 65535


@dataclasses.dataclass(frozen=True)
class Cluster:
    """All workers, and which one this process is.

    Attributes:
        addresses: "host:port" of each, the chief first.
        index: Of this worker.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def leads(self) -> bool:
        """Whether this worker is the chief, which alone writes."""
        return self.index == 0

    def name(self, index: int) -> str:
        """Returns what a worker is called: "worker 1 (host1:2222)"."""
        title = f"worker {index}" if index else "the chief"
        return f"{title} ({self.addresses[index]})"


def find(
    strategy: str, environment: Mapping[str, str] = os.environ
) -> Cluster | None:
    """Returns the workers that a run spans, None if it stays on one machine.

    Args:
        strategy: The setting: "multi_worker", "auto", which spans machines
            where TF_CONFIG names several workers, or one that does not.
        environment: Holds TF_CONFIG.

    Raises:
        UsageError: if TF_CONFIG cannot be read, or is missing where it is
            needed.
    """
    if strategy not in ("auto", "multi_worker"):
        return None
    text = environment.get(VARIABLE, "")
    if not text.strip():
        if strategy == "auto":
            return None
        raise UsageError(
            f"`strategy=multi_worker` needs {VARIABLE} in the environment of "
            f"every worker, such as {_EXAMPLE}."
        )
    cluster = parse(text)
    if strategy == "auto" and len(cluster.addresses) == 1:
        return None
    return cluster


def parse(text: str) -> Cluster:
    """Reads the value of TF_CONFIG.

    Raises:
        UsageError: saying what is wrong with it.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _bad(f"is no JSON ({shown(error)})", text) from None
    cluster = value.get("cluster") if isinstance(value, dict) else None
    if not isinstance(cluster, dict) or not cluster:
        raise _bad("names no cluster", text)
    others = [job for job in cluster if job not in _JOBS]
    if others:
        raise _bad(f"has jobs other than {' and '.join(_JOBS)}", others[0])
    groups = {job: cluster[job] for job in _JOBS if job in cluster}
    for job, addresses in groups.items():
        if not isinstance(addresses, list) or not addresses:
            raise _bad(f"must list the addresses of {job}", addresses)
    if len(groups.get("chief", [])) > 1:
        raise _bad("names more than one chief", groups["chief"])
    every = [each for group in groups.values() for each in group]
    for address in every:
        if not _is_address(address):
            raise _bad("must name workers as host:port", address)
    if len(set(every)) < len(every):
        raise _bad("names an address twice", ", ".join(every))
    return Cluster(tuple(every), _index(value.get("task"), groups))


def _index(task: Any, groups: dict[str, list[str]]) -> int:
    job = task.get("type") if isinstance(task, dict) else None
    if not isinstance(job, str) or job not in groups:
        raise _bad(
            f"must have a task whose type is {' or '.join(groups)}", task
        )
    index = task.get("index")
    if isinstance(index, str) and index.isdecimal() and len(index) < 9:
        index = int(index)  # As some launchers write it.
    count = len(groups[job])
    if isinstance(index, bool) or not isinstance(index, int):
        raise _bad("must have a task whose index is a whole number", task)
    if not 0 <= index < count:
        raise _bad(
            f"must have a task whose index is from 0 to {count - 1}, as it "
            f"names {count} of {job}",
            index,
        )
    return index if job == next(iter(groups)) else index + 1


def _is_address(address: Any) -> bool:
    if not isinstance(address, str):
        return False
    host, _, port = address.rpartition(":")
    known = bool(host) and not any(c.isspace() or c == "/" for c in host)
    decimal = port.isascii() and port.isdecimal() and len(port) < 6
    return known and decimal and 0 < int(port) <= _LARGEST_PORT


def _bad(what: str, received: object) -> UsageError:
    return UsageError(
        f"{VARIABLE} {what}. Write it like {_EXAMPLE}, or unset it to train "
        f"on one machine. Received: {shown(received)}."
    )
