"""Tests of the `orchestrator` command and library."""
