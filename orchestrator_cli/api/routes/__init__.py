"""The endpoints: each takes a request apart, has a service do the work, and answers.

They must not decide anything about what is stored.
"""
