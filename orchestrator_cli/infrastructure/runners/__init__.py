"""Text that makes machines run tests and store what these leave: EC2, EKS, images.

It must not know the command line, and what it prints must work with S3 away.
"""
