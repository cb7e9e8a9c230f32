"""Prometheus exporter for what ``genai_metrics`` records: one endpoint for all processes of a machine."""
