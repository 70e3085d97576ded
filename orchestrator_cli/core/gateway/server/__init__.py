"""The server's half of `upload --via`: it decides what is uploaded, and signs the requests.

It must not know of tokens, and keeps nothing between two requests.
"""
