"""What the record of an execution says of an upload: that it began, what failed, that it ended.

It must not know how files are sent, nor how a record is changed.
"""
