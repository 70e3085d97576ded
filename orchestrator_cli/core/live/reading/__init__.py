"""Reading logs that are still being written: following them, judging their writer, salvaging them.

It must not write to `live/`, nor know what writes there beyond the stored format.
"""
