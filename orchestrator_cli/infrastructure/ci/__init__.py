"""Renders CI jobs that run tests and store their output: GitHub Actions, GitLab, Jenkins.

The steps that store must never stop the tests or change the result of the job.
"""
