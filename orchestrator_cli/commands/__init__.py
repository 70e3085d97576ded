"""One command a file: parse, call core, print."""
