"""What is read out of environment variables that are not ours."""

from __future__ import annotations

from collections.abc import Mapping


def proxy_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that name proxies, and the hosts to reach without one."""
    return {name: text for name, text in environment.items() if name.lower().endswith("_proxy")}
