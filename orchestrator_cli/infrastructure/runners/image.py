"""The Dockerfile of an image with this tool: for the sidecar of a pod, and for `serve`."""

from __future__ import annotations

from orchestrator_cli.infrastructure.runners.eks import USER_ID


def render_dockerfile() -> str:
    """Return a Dockerfile that is built in a checkout after `make build`."""
    return f"""\
# In a checkout:  make build
#                 docker build --file Dockerfile --tag REGISTRY/orchestrator:1 .
# It needs glibc: the wheels of pycurl are not for Alpine.
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
