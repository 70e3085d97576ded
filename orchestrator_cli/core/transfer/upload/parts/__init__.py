"""What is stored by multipart uploads: large files and streams, cut into parts and resumed.

It must not know where files come from, nor whether they go into a bucket or through a server.
"""
