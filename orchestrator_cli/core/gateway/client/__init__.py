"""What a machine without AWS credentials asks of an `orchestrator serve`.

It must not know how the server answers, only the messages.
"""
