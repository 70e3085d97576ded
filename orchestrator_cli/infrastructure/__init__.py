"""Text of files for other systems: systemd, EC2, EKS, IAM, Terraform, CloudFormation, Prometheus.

It reads and writes nothing itself and must not know the command line.
"""
