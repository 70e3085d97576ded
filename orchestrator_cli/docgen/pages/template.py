"""Render a page of section 7 from a Markdown text in text/ with `$name` placeholders."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from string import Template

from orchestrator_cli.docgen import roff
from orchestrator_cli.docgen.command_tree import PROGRAM


def render_manpage(page: str, file: str, values: dict[str, str], version: str) -> str:
    """Return the page in man(7) format. Raises KeyError for a placeholder without a value."""
    source = resources.files("orchestrator_cli.docgen").joinpath("text", file)
    text = Template(source.read_text(encoding="utf-8")).substitute(values)
    lines = roff.title(page, 7, f"{PROGRAM} {version}")
    for block in text.strip().split("\n\n"):
        lines += _render_block(block.strip("\n"), page)
    return roff.render(lines)


def join_codes(names: Iterable[str]) -> str:
    """Return names as code, with commas between them."""
    return ", ".join(f"`{name}`" for name in names)


def _render_block(block: str, page: str) -> list[str]:
    if block.startswith("## "):
        return roff.section(block.removeprefix("## "))
    if block.startswith("    "):
        return roff.literal(line.removeprefix("    ") for line in block.splitlines())
    term, separator, definition = block.partition("\n:   ")
    if separator:
        return roff.tagged(roff.inline(term), definition)
    if block.startswith(page):
        name, _, summary = block.partition(" - ")
        return [f"{roff.escape(name)} \\- {roff.inline(summary)}"]
    return roff.paragraph(block)
