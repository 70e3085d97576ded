"""What is read of executions and their files, for whatever shows it.

It must not know HTTP.
"""
