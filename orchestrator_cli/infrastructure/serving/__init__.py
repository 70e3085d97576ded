"""Text that keeps `serve` running: a Deployment, and what stands before it with TLS.

It must not know the command line.
"""
