"""URLs of files, with their content type and disposition, and URLs of pages."""

from __future__ import annotations

from orchestrator_cli.core.executions.content_type import content_type_of, is_active
from orchestrator_cli.core.s3.bucket.presign import UrlExpiry, presign_object
from orchestrator_cli.core.s3.bucket.writer import ArtifactStore
from orchestrator_cli.core.s3.sigv4 import SigningKey


def sign_file_url(
    store: ArtifactStore,
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
    return presign_object(store, by, key, expiry, query, method)


def page_url(base: str, execution_id: str, log: str = "") -> str:
    """Return the page of an execution, or of one of its logs; `base` has no slash at its end."""
    page = f"{base.removesuffix('/ui')}/ui/executions/{execution_id}"
    return f"{page}/logs/{log}" if log else page
