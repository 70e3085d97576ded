"""Renders files that keep `serve` running: a systemd unit, Kubernetes manifests, nginx with TLS.

It must not know the command line.
"""
