"""Puts the manual pages and shell completions where an installed wheel needs them."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

COMPLETIONS = {
    "orchestrator.bash": "share/bash-completion/completions/orchestrator",
    "orchestrator.fish": "share/fish/vendor_completions.d/orchestrator.fish",
    "orchestrator.zsh": "share/zsh/site-functions/_orchestrator",
}


class SharedDataHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds man/ and completions/ to the wheel's data; an editable install reads the checkout."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel" or version == "editable":
            return
        shared = build_data["shared_data"]
        for page in sorted(Path(self.root, "man").glob("*.[1-9]")):
            shared[str(page)] = f"share/man/man{page.suffix[1:]}/{page.name}"
        for name, installed in COMPLETIONS.items():
            shared[str(Path(self.root, "completions", name))] = installed
