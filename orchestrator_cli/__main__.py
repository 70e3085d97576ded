"""Makes ``python -m orchestrator_cli`` the same as ``orchestrator``."""

from orchestrator_cli.cli.main import run_process

if __name__ == "__main__":
    run_process()
