"""What failed connections of urllib3, and of our own sockets, mean; goes with them."""

from __future__ import annotations

import re

from orchestrator_cli.core.base.errors import AccessError, OrchestratorError, UnavailableError
from orchestrator_cli.core.http.framing import MalformedError, TransportError
from orchestrator_cli.core.s3.error_codes import CA_HINT, ENDPOINT_HINT, PROXY_HINT, SERVER_HINT

# What OpenSSL says of various releases when plain HTTP comes back.
_NO_TLS = ("wrong version number", "record layer failure", "packet length too long", "http request")
_OUT_OF_REACH = ("no route to host", "unreachable", "host is down")
_TUNNEL_REFUSED = re.compile(r"tunnel connection failed: (\d{3})")
_URL = re.compile(r"""[^\s"'<>]*(://|X-Amz-)[^\s"'<>]*""")


def error_from_socket(error: Exception, what: str) -> OrchestratorError | None:
    """Return the exception for a request without an answer; None for another error."""
    if isinstance(error, MalformedError):
        return UnavailableError(f"{what}: {error}", hint=ENDPOINT_HINT, retryable=True)
    if type(error).__module__.partition(".")[0] == "urllib3" or isinstance(error, TransportError):
        return connection_error(error, type(error).__name__, what)
    return None


def connection_error(cause: object, name: str, what: str) -> OrchestratorError:
    """Return the exception for a request without an answer, from what was raised and its type."""
    text = _URL.sub("", str(cause)).lower()
    if "certificate" in text:
        message = f"{what}: the server's TLS certificate is not trusted"
        return UnavailableError(message, hint=CA_HINT, is_fatal=True)
    if any(sign in text for sign in _NO_TLS):
        failure = "the server does not speak TLS"
        return UnavailableError(f"{what}: {failure}", hint=ENDPOINT_HINT, retryable=True)
    refusal = _TUNNEL_REFUSED.search(text)
    if refusal:
        return _refused_by_proxy(int(refusal[1]), what)
    failure, fatal = _transport_failure(text, name)
    return UnavailableError(
        f"{what}: {failure}", hint=SERVER_HINT if fatal else None, retryable=True, is_fatal=fatal
    )


def _refused_by_proxy(status: int, what: str) -> OrchestratorError:
    if status == 407:
        return AccessError(f"{what}: the proxy asks for credentials", hint=PROXY_HINT)
    hint = "HTTPS_PROXY and HTTP_PROXY name the proxy, NO_PROXY the hosts to reach without"
    message = f"{what}: the proxy answered {status}"
    return UnavailableError(message, hint=hint, retryable=status >= 500)


def _transport_failure(text: str, name: str) -> tuple[str, bool]:
    if "refused" in text:
        return "connection refused", True
    if "timed out" in text or "timeout" in text or "Timeout" in name:
        return "no answer in time", False
    if "resolve" in text or "dns error" in text:
        return "the host name cannot be resolved", True
    if any(sign in text for sign in _OUT_OF_REACH):
        return "the host cannot be reached", True
    return "the connection broke", False
