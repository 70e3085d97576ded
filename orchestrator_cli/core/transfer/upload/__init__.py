"""From local files and streams to objects: planned, uploaded, resumed and recorded.

It must not know commands, nor what is deleted afterwards.
"""
