"""The metrics of a command, and their export to Prometheus or an OpenTelemetry collector.

It must not know what the numbers are used for.
"""
