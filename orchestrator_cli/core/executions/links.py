"""Presigned links to files, which say themselves what the file is and how it is shown."""

from __future__ import annotations

from orchestrator_cli.core.executions.content_type import content_type_of, is_active
from orchestrator_cli.core.s3.bucket.presign import Presigner, UrlExpiry
from orchestrator_cli.core.s3.sigv4 import SigningKey


def sign_file_url(
    signer: Presigner,
    by: SigningKey,
    key: str,
    expiry: UrlExpiry,
    *,
    inline: bool = False,
    method: str = "GET",
) -> str:
    """Return a URL of one file, for GET or HEAD, that works until `expiry.expires_at`.

    Its type follows from the name, whatever was stored. What could run in a browser is saved
    instead of shown, unless `inline`: it would run on the bucket's origin.
    """
    content_type = content_type_of(key)
    shown = inline or not is_active(content_type)
    query = {
        "response-content-type": content_type,
        "response-content-disposition": "inline" if shown else "attachment",
    }
    return signer.sign(by, key, expiry, query, method)
