"""What `orchestrator serve` decides about uploads of others, and the requests it signs for them.

It must not know of tokens, and keeps nothing between two requests.
"""
