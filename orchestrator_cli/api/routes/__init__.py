"""The endpoints of the API: each parses a request, calls a service, and returns its response.

They must not decide anything about what is stored.
"""
