"""Renders files that keep `serve` running: Kubernetes manifests, nginx with TLS.

It must not know the command line.
"""
