"""The demo: a service that answers questions, monitored through the public API of ``genai_metrics`` alone."""
