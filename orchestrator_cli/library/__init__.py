"""The Python library: buckets and executions, for programs that make, fill and read them.

Commands call it, or share its sources and sessions where they need more than its public names. It
must not know the command line.
"""
