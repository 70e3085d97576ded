"""What a run measured, and how that reaches Prometheus or an OpenTelemetry collector.

It must not know what the numbers are used for.
"""
