"""The web pages for people, under /ui/: templates and scripts, all of them from this server.

They show what the services read, and must not change anything that is stored.
"""
