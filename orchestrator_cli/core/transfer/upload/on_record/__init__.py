"""What the record of an execution says of an upload: that it began, what failed, that it ended.

It must not know the command line, nor the form of the record.
"""
