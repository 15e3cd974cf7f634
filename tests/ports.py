"""Ports of this machine for processes that talk to each other."""

import contextlib
import socket


def free_ports(count):
    """Returns so many ports that were free a moment ago."""
    with contextlib.ExitStack() as stack:
        found = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            for _ in range(count)
        ]
        return [each.getsockname()[1] for each in found]
