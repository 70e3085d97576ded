"""What the tests stand on: an S3 server, a recording proxy, ways to run the command."""
