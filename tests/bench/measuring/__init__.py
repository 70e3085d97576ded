"""Commands are run by turns and measured, judged, and reported.

It must not know what work they do.
"""
