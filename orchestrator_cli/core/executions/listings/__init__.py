"""Lists executions of a window of time, and the files of one.

It must not know what a record says.
"""
