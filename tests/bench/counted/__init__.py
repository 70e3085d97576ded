"""What a server of our own counts: requests, and bytes that are sent again.

It answers in threads of the benchmark, so seconds matter less than counts here.
"""
