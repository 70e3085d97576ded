"""A pytest plugin: botocore's service models are read from disk once a process, not once a client.

Two thirds of what a command costs in this process is reading them; a command runs hundreds of times
in it, and no user's does.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(autouse=True, scope="session")
def _service_models_are_read_once() -> Iterator[None]:
    from botocore.loaders import JSONFileLoader, Loader

    load_file, list_services = JSONFileLoader.load_file, Loader.list_available_services
    loader = JSONFileLoader()

    @functools.cache
    def load(path: str) -> Any:
        return load_file(loader, path)

    @functools.cache
    def services(kind: str) -> tuple[str, ...]:
        return tuple(list_services(Loader(), kind))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", lambda _, path: load(path))
        patch.setattr(
            Loader, "list_available_services", lambda _, type_name: list(services(type_name))
        )
        yield
