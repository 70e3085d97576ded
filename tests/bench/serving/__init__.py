"""`orchestrator serve` under load: the server, its store, and a client that costs little."""
