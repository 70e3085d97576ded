"""Our YAML is read back unchanged by another YAML library."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_cli.infrastructure.yaml import render_yaml

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers() | TEXTS | st.sampled_from(["no", "1e3", "~"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=4))
def test_any_data_is_read_back_unchanged(document: dict[str, Any]) -> None:
    assert yaml.safe_load(render_yaml(document)) == document


@pytest.mark.parametrize(
    "text", ["a\nb\n", "a\n\nb\n", " a\nb\n", "a\nb", "a\n", "\n", "a\tb\nc\n"]
)
def test_multi_line_text_is_read_back_unchanged(text: str) -> None:
    assert yaml.safe_load(render_yaml({"a": [{"b": text}], "c": text})) == {
        "a": [{"b": text}],
        "c": text,
    }


def test_a_script_is_written_as_a_literal_block() -> None:
    assert render_yaml({"a": ["x\ny\n"]}) == "a:\n  - |\n    x\n    y\n"
