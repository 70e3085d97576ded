"""The library under the command line. Imports neither click nor rich."""
