"""Everything that is done, under the command line and the server.

It must not know click, rich or FastAPI, nor read the environment.
"""
