"""Tests that need a server as strict as AWS: `make test-localstack` runs them."""
