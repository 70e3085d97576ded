"""The process behind `localstack.py`: LocalStack's S3 on 127.0.0.1 and nowhere else.

It is run by its path with the interpreter of LocalStack's own environment. Standard input is the
lifeline: when that ends, so does the server with all its children, whatever killed the parent.
The one line it prints is the port it was given by the kernel.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import threading
from typing import Any

_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """End this process group when standard input ends; on Linux, too, when the parent dies."""
    threading.Thread(target=_end_with_input, daemon=True).start()
    if sys.platform == "linux" and "--pdeathsig" in sys.argv:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _end_with_input() -> None:
    while os.read(0, 4096):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _listen() -> socket.socket:
    """Take a free port of loopback now, and keep it: nobody can be faster."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    os.environ["GATEWAY_LISTEN"] = f"127.0.0.1:{listener.getsockname()[1]}"
    return listener


def _serve_only_on(listener: socket.socket) -> None:
    """Make LocalStack serve on this socket: its own would be bound to every interface."""
    from twisted.internet import endpoints

    def endpoint(reactor: Any, port: int, **_: Any) -> Any:
        descriptor = listener.detach()
        return endpoints.AdoptedStreamServerEndpoint(reactor, descriptor, socket.AF_INET)

    endpoints.TCP4ServerEndpoint = endpoint


def main() -> None:
    """Serve until standard input ends."""
    _die_with_parent()
    listener = _listen()
    os.write(1, b"%d\n" % listener.getsockname()[1])
    os.dup2(2, 1)  # whatever else is said belongs in the log
    _serve_only_on(listener)
    from localstack.runtime.main import main as run_localstack

    run_localstack()


if __name__ == "__main__":
    main()
