"""Whom TLS trusts: the CAs of one file, or those of the system."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator_cli.core.base.errors import UsageError
from orchestrator_cli.core.base.text import printable

if TYPE_CHECKING:
    from ssl import SSLContext


def tls_context(ca_bundle: str | None) -> SSLContext:
    """Return what a connection verifies its server by. Raises UsageError for a file without CAs."""
    import ssl

    ca_bundle = ca_bundle or _fallback_bundle()
    try:
        context = ssl.create_default_context(cafile=ca_bundle)
    except OSError as error:
        named = printable(ca_bundle or "the system's CAs")
        reason = "no certificates in it" if isinstance(error, ssl.SSLError) else error.strerror
        hint = "AWS_CA_BUNDLE names a file of CA certificates in PEM"
        raise UsageError(f"{named}: {reason}", hint=hint) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # Some releases of Python set it, and take what was cut short for what has ended.
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    return context


def _fallback_bundle() -> str | None:
    """Return botocore's own CAs where the system has none, as some Pythons of macOS."""
    import ssl

    system = ssl.get_default_verify_paths()
    if system.cafile or (system.capath and _has_files(system.capath)):
        return None
    from importlib.util import find_spec

    found = find_spec("botocore")
    bundle = Path(found.origin).with_name("cacert.pem") if found and found.origin else None
    return str(bundle) if bundle is not None and bundle.exists() else None


def _has_files(directory: str) -> bool:
    # It is there and empty where the package of CAs is not installed, as in many containers.
    with suppress(OSError), os.scandir(directory) as entries:
        return any(True for _ in entries)
    return False
