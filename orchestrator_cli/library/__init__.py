"""The Python library: buckets and executions, for programs that make, fill and read them.

It must not know the command line, which uses it as any other program does.
"""
