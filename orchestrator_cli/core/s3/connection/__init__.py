"""How one bucket is reached: endpoint, region, credentials, and the session that signs.

It must not know what is read or written over it.
"""
