"""nginx, which all servers here that cost next to nothing are: started, awaited and ended."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_START_SECONDS = 20
_CONFIG = """\
{user}
worker_processes {workers};
pid {home}/{name}.pid;
error_log {home}/{name}.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {home}/tmp;
  proxy_temp_path {home}/tmp;
  fastcgi_temp_path {home}/tmp;
  uwsgi_temp_path {home}/tmp;
  scgi_temp_path {home}/tmp;
{http}}}
"""


@dataclass(frozen=True, slots=True)
class Nginx:
    """How one nginx is run: its name below `home`, where the certificates are too."""

    program: str
    home: Path
    name: str
    workers: int = 1

    @contextmanager
    def run(self, http: str, port: int) -> Iterator[int]:
        """Serve what the `http` block says until the block ends, once it listens on the port.

        Yields its process id, which is that of the group of its workers too.
        """
        (self.home / "tmp").mkdir(exist_ok=True)
        config = self.home / f"{self.name}.conf"
        config.write_text(self._render(http))
        command = [self.program, "-p", str(self.home), "-c", str(config), "-g", "daemon off;"]
        # A session of its own: its workers must end with it, whatever ends this process. Its
        # sockets have names without a path, which may be too long for one.
        with subprocess.Popen(command, start_new_session=True, cwd=self.home) as process:
            try:
                self._await(process, port)
                yield process.pid
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
                process.wait()

    def _render(self, http: str) -> str:
        # Its workers would give up root's rights, and the files are in a directory of root's.
        user = "user root;" if os.geteuid() == 0 else ""
        return _CONFIG.format(
            user=user, workers=self.workers, home=self.home, name=self.name, http=http
        )

    def _await(self, process: subprocess.Popen[bytes], port: int) -> None:
        trust = ssl.create_default_context(cafile=str(self.home / "ca.pem"))
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            try:
                with (
                    socket.create_connection(("127.0.0.1", port), 1) as plain,
                    trust.wrap_socket(plain, server_hostname="localhost"),
                ):
                    return
            except OSError:
                time.sleep(0.05)
        log = self.home / f"{self.name}.log"
        raise OSError(f"nginx did not start: {log.read_text() if log.exists() else ''}")


def find_nginx() -> str | None:
    """Return nginx's path, which Debian keeps out of an ordinary user's PATH."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    """Return a port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
