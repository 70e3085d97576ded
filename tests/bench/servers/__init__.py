"""The servers that the tools are measured against, and what they serve.

It must not know the tools.
"""
