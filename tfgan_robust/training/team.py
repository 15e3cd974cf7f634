"""What workers of a run tell each other beside TensorFlow.

TensorFlow's collectives carry gradients, and wait for whoever does not come.
This carries what must be known before them, whether all train the same, and
what they do not tell: that a worker was asked to stop, or is gone. Each worker
has one connection, to the chief.
"""

import contextlib
import json
import queue
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from tfgan_robust.cli import command
from tfgan_robust.errors import (
    TfganRobustError,
    UsageError,
    exit_code_of,
    in_one_line,
)
from tfgan_robust.runs.cluster import Cluster
from tfgan_robust.training.frames import Frame, Kind, Link, ending, written
from tfgan_robust.training.meeting import meet

# Seconds between signs of life, and without them until a worker is given up.
_BEAT, _SILENCE = 5.0, 30.0
# Seconds in which a worker that knows that another is gone ends by itself; it
# may wait inside TensorFlow for what never comes.
_GRACE = 10.0
_AGAIN = "Start all workers again: the run goes on from its last checkpoint."


class WorkerLostError(TfganRobustError):
    """Another worker is gone, or ended with an error.

    Args:
        reason: Of its end.
        exit_code: What this process should exit with.
    """

    def __init__(self, reason: str, exit_code: int) -> None:
        again = f" {_AGAIN}" if exit_code == TfganRobustError.exit_code else ""
        super().__init__(f"{reason.rstrip('.')}.{again}")
        self.reason, self.exit_code = reason, exit_code


class Team:
    """The workers of a run, as one of them sees the others.

    While entered, all stand or fall together: an error of one ends the
    others, and one whose main thread does not end in time is ended.

    Args:
        cluster: All workers; None for a run on one machine.
        wait: Seconds in which all must come.

    Attributes:
        count: How many workers there are.
        leads: Whether this is the chief, which alone writes.

    Raises:
        TfganRobustError: see `meeting.meet`.
    """

    def __init__(
        self, cluster: Cluster | None = None, wait: float = 0.0
    ) -> None:
        self.count = len(cluster.addresses) if cluster else 1
        self.leads = cluster is None or cluster.leads
        self._cluster = cluster
        links: Mapping[int, Link] = meet(cluster, wait) if cluster else {}
        self._peers = [_Peer(n, link) for n, link in sorted(links.items())]
        self._lost: WorkerLostError | None = None
        self._known, self._closed = threading.Event(), threading.Event()
        self._lock = threading.Lock()

    def __enter__(self) -> "Team":
        for peer in self._peers:
            peer.link.expect_within(_SILENCE)
            _start(self._listen, peer)
            # Each by itself: one may take long to be sent a file.
            _start(self._show_life, peer)
        return self

    def __exit__(
        self,
        _: type[BaseException] | None,
        error: BaseException | None,
        __: TracebackType | None,
    ) -> None:
        if not self._peers:
            return
        if isinstance(error, Exception) and not isinstance(
            error, TfganRobustError
        ):
            # TensorFlow may notice first that a worker is gone, and not know
            # which.
            self._known.wait(_GRACE)
        lost = self._lost
        if lost is not None:
            self._end(ending(lost.reason, lost.exit_code))
        elif error is not None:
            self._end(ending(self._told_of(error), exit_code_of(error)))
        else:
            self._end(ending())
            if not self.leads:
                self._wait_for_chief()
        if lost is not None and not isinstance(
            error, TfganRobustError | KeyboardInterrupt
        ):
            raise lost from None

    def gather(self, value: Any) -> list[Any]:
        """Returns everybody's values, by index; all must call it.

        Args:
            value: This worker's, as JSON knows them.

        Raises:
            WorkerLostError: if one of the others is gone.
        """
        if self.leads:
            others = [self._receive(peer, Kind.VALUE) for peer in self._peers]
            values = written([value, *map(json.loads, others)])
            self._send(Kind.VALUE, values)
            return json.loads(values)
        self._send(Kind.VALUE, written(value))
        return json.loads(self._receive(self._peers[0], Kind.VALUE))

    def from_chief(self, value: Any) -> Any:
        """Returns the chief's value on all workers; all must call it."""
        return self.gather(value if self.leads else None)[0]

    def files_from_chief(self, files: Mapping[str, bytes]) -> dict[str, bytes]:
        """Returns files by name, as the chief has them; all must call it.

        Args:
            files: The chief's; what others give is not looked at.

        Raises:
            WorkerLostError: if one of the others is gone.
        """
        names = self.from_chief(list(files))
        if self.leads:
            for name in names:
                self._send(Kind.BYTES, files[name])
            return dict(files)
        (chief,) = self._peers
        return {name: self._receive(chief, Kind.BYTES) for name in names}

    def check_equal(
        self, what: str, value: Any, differences: Callable[..., list[str]]
    ) -> None:
        """Refuses to go on unless all have the same; all must call it.

        Args:
            what: Is compared, in the plural.
            value: This worker's, as JSON knows them.
            differences: Returns how a second value differs from a first one.

        Raises:
            UsageError: naming the first worker that differs from the chief.
        """
        chief, *others = self.gather(value)
        for index, other in enumerate(others, 1):
            changed = differences(chief, other)
            if changed and self._cluster:
                raise UsageError(
                    f"All workers must have the same {what}. "
                    f"{self._cluster.name(index)} differs from "
                    f"{self._cluster.name(0)}: {'; '.join(changed)}."
                )

    def _wait_for_chief(self) -> None:
        """TensorFlow would tell the chief that this worker is gone.

        Raises:
            WorkerLostError: if it does not end well.
        """
        (chief,) = self._peers
        while chief.inbox.get() is not None:
            pass
        if chief.ended_by is not None:
            raise chief.ended_by

    def _told_of(self, error: BaseException) -> str:
        """What the others are told of an error of this worker."""
        own = self._cluster.name(self._cluster.index) if self._cluster else ""
        if isinstance(error, KeyboardInterrupt):
            return f"{own} was interrupted"
        if isinstance(error, TfganRobustError):
            return f"{own} stopped: {error}"
        return f"{own} failed: {in_one_line(error)}"  # type: ignore[arg-type]

    def _send(self, kind: Kind, payload: bytes) -> None:
        for peer in self._peers:
            self._tell(peer, kind, payload)

    def _tell(self, peer: "_Peer", kind: Kind, payload: bytes = b"") -> None:
        # Who is gone is told by the thread that listens.
        with contextlib.suppress(OSError):
            peer.link.send(kind, payload)

    def _receive(self, peer: "_Peer", kind: Kind) -> bytes:
        found = peer.inbox.get()
        if found is not None and found.kind == kind:
            return found.payload
        peer.inbox.put(None)
        raise self._lost or WorkerLostError(
            f"{peer.name(self._cluster)} has ended, or is at another point "
            "of the run",
            TfganRobustError.exit_code,
        )

    def _listen(self, peer: "_Peer") -> None:
        """Takes what a worker sends until its end, and tells of that."""
        reason = f"{peer.name(self._cluster)} is gone"
        code = TfganRobustError.exit_code
        try:
            while (frame := peer.link.receive()).kind != Kind.END:
                if frame.kind != Kind.BEAT:
                    peer.inbox.put(frame)
            told = json.loads(frame.payload)
            reason, code = told["reason"], told["exit_code"]
        except TimeoutError:
            reason += f", as it gave no sign of life for {_SILENCE:.0f} s"
        except (OSError, ValueError, LookupError):
            pass
        if reason:
            peer.ended_by = WorkerLostError(reason, code)
        first = self._is_first(peer.ended_by)
        peer.inbox.put(None)
        self._release(peer, heard=True)
        if first:
            self._give_up(first)

    def _is_first(self, lost: WorkerLostError | None) -> WorkerLostError | None:
        """Returns what ends this worker, if it is that."""
        with self._lock:
            if self._lost is not None or self._closed.is_set():
                return None
            self._lost = lost
        if lost is not None:
            self._known.set()
        return lost

    def _give_up(self, lost: WorkerLostError) -> None:
        last = ending(lost.reason, lost.exit_code)
        for peer in self._peers:
            peer.inbox.put(None)
            # Who is being sent a long file hears it after that, or is left.
            _start(self._tell, peer, Kind.END, last)
        if not self._closed.wait(_GRACE):
            command.leave(f"error: {lost}", lost.exit_code)

    def _show_life(self, peer: "_Peer") -> None:
        while not self._closed.wait(_BEAT):
            self._tell(peer, Kind.BEAT)

    def _end(self, last: bytes) -> None:
        self._closed.set()
        self._send(Kind.END, last)
        for peer in self._peers:
            peer.link.finish()
            self._release(peer, told=True)

    def _release(
        self, peer: "_Peer", *, heard: bool = False, told: bool = False
    ) -> None:
        """Closes a connection once both sides have said their last."""
        with self._lock:
            peer.heard, peer.told = peer.heard or heard, peer.told or told
            if peer.heard and peer.told:
                peer.link.close()


class _Peer:
    """Another worker, and what it sent; None once nothing more comes."""

    def __init__(self, index: int, link: Link) -> None:
        self.index, self.link = index, link
        self.heard = self.told = False
        self.ended_by: WorkerLostError | None = None
        self.inbox: queue.Queue[Frame | None] = queue.Queue()

    def name(self, cluster: Cluster | None) -> str:
        return cluster.name(self.index) if cluster else ""


def _start(target: Callable[..., None], *args: Any) -> None:
    threading.Thread(target=target, args=args, daemon=True).start()
