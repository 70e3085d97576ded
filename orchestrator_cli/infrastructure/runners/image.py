"""The Dockerfile of an image with this program, for the sidecar of a pod and for `serve`."""

from __future__ import annotations

from orchestrator_cli.infrastructure.runners.pods import USER_ID


def render_dockerfile() -> str:
    """Return a Dockerfile to build in a checkout after `make build`."""
    return f"""\
# Build it in a checkout:
#   make build
#   docker build --file Dockerfile --tag REGISTRY/orchestrator:1 .
# The base image needs glibc: there are no wheels of pycurl for Alpine.
FROM python:3.13-slim
COPY dist/*.whl /tmp/
RUN wheel=$(ls /tmp/orchestrator_cli-*.whl) \\
 && pip install --no-cache-dir "${{wheel}}[api]" \\
 && rm /tmp/*.whl
USER {USER_ID}:{USER_ID}
ENV HOME=/tmp
ENTRYPOINT []
CMD ["orchestrator", "--help"]
"""
