"""Renders files that make machines run tests and store their output: EC2, EKS, images.

It must not know the command line, and what it renders must work while S3 is unavailable.
"""
