"""Find the file of CA certificates to trust where none is configured."""

from __future__ import annotations

from functools import cache
from pathlib import Path

# Debian, Fedora, SUSE, older Red Hat, FreeBSD, Alpine and macOS.
_SYSTEM_FILES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
    "/etc/ssl/cert.pem",
)


@cache
def default_ca_file(system_files: tuple[str, ...] = _SYSTEM_FILES) -> str | None:
    """Return the first of these files that is there and not empty, else botocore's.

    None where there is neither.
    """
    for name in system_files:
        file = Path(name)
        if file.is_file() and file.stat().st_size:
            return name
    from importlib.util import find_spec

    found = find_spec("botocore")
    bundle = Path(found.origin).with_name("cacert.pem") if found and found.origin else None
    return str(bundle) if bundle is not None and bundle.is_file() else None
