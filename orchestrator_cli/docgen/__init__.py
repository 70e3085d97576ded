"""Writes man/, completions/ and the README's reference from the commands themselves."""
