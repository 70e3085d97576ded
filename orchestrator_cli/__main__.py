"""Makes ``python -m orchestrator_cli`` the same as ``orchestrator``."""

from orchestrator_cli.cli import main

if __name__ == "__main__":
    main()
