"""Renders files for other systems: systemd, EC2, EKS, IAM, Terraform, CloudFormation, Prometheus.

It returns text, reads and writes no files, and must not know the command line.
"""
