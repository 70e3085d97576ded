"""The units of systemd: those that sync a bench, and the one that serves.

It must not know the command line.
"""
