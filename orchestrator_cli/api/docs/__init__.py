"""The page at /docs and the OpenAPI document, made from the routes.

It must not know how requests are served.
"""
