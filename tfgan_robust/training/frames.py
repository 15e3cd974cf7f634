"""Messages between workers: a kind, a length, and as many bytes."""

import contextlib
import enum
import json
import socket
import struct
import threading
from typing import Any, NamedTuple

_HEADER = struct.Struct(">BQ")
# A socket's timeout is for all that it is given at once.
_PIECE = 2**20


class Kind(enum.IntEnum):
    """What a message is.

    BEAT is a sign of life, VALUE is JSON, BYTES a file, END the last message:
    JSON with a `reason`, empty if all is well, and an `exit_code`.
    """

    BEAT = 0
    VALUE = 1
    BYTES = 2
    END = 3


class Frame(NamedTuple):
    """A message."""

    kind: Kind
    payload: bytes


class Link:
    """A connection to another worker. Any thread may send, one receives.

    Args:
        connected: The socket.
    """

    def __init__(self, connected: socket.socket) -> None:
        self._socket, self._lock = connected, threading.Lock()
        self._said_last = False
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def expect_within(self, seconds: float) -> None:
        """Sets after which silence `receive` raises TimeoutError."""
        self._socket.settimeout(seconds)

    def send(self, kind: Kind, payload: bytes = b"") -> None:
        """Sends a message; none follows END.

        Raises:
            OSError: if nobody takes it.
        """
        with self._lock:
            if self._said_last:
                return
            self._said_last = kind == Kind.END
            self._socket.sendall(_HEADER.pack(kind, len(payload)))
            for start in range(0, len(payload), _PIECE):
                self._socket.sendall(payload[start : start + _PIECE])

    def receive(self, largest: int | None = None) -> Frame:
        """Waits for a message.

        Args:
            largest: Bytes that a stranger may send.

        Raises:
            OSError: if the connection ends or, TimeoutError, is silent.
            ValueError: if it is no message.
        """
        kind, length = _HEADER.unpack(self._read(_HEADER.size))
        if largest is not None and length > largest:
            raise ValueError("too long a message")
        return Frame(Kind(kind), self._read(length))

    def has_ended(self) -> bool:
        """Tells whether the other side is known to have ended."""
        before = self._socket.gettimeout()
        self._socket.settimeout(0)
        try:
            return not self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            self._socket.settimeout(before)

    def finish(self) -> None:
        """Sends no more; what was sent still arrives."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Ends the connection."""
        self._socket.close()

    def _read(self, count: int) -> bytes:
        found = bytearray()
        while len(found) < count:
            part = self._socket.recv(min(count - len(found), _PIECE))
            if not part:
                raise ConnectionResetError("the connection has ended")
            found += part
        return bytes(found)


def written(value: Any) -> bytes:
    """Returns a value as the payload of VALUE."""
    return json.dumps(value).encode()


def ending(reason: str = "", exit_code: int = 0) -> bytes:
    """Returns the payload of END."""
    return written({"reason": reason, "exit_code": exit_code})
