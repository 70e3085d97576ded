"""What a bench writes of an execution by itself: its record, and the files it promises.

It sends nothing, and must not know how files are stored.
"""
