"""Ways to run the command: in this process, forked, as a process, in a terminal, as a server.

Nothing here knows what a test stores or expects.
"""
