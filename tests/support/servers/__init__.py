"""What stands around the command beside S3: servers, machines and tools that it meets."""
