"""Text of CI jobs around tests that are stored: GitHub Actions, GitLab, Jenkins.

Nothing in them that concerns storing may stop the tests or change how their job ends.
"""
