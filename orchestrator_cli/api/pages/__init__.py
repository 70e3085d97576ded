"""The web pages for people, under /ui/: their routes, templates, styles and scripts.

They show what the services read, and must not change anything that is stored.
"""
