"""Settings: from options, the environment, the config file and AWS's own files.

It must not know what a command does with them. Beside the App, no other room of the command line
reads the environment.
"""
