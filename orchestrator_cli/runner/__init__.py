"""Running a command: its streams, its terminal, its process group, and who stores its output."""
