"""The domain: execution ids, keys, metadata.json, manifests, and how executions are listed.

It must not know how bytes are moved from and to local files.
"""
