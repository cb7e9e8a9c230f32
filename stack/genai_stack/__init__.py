"""Start, watch and stop the monitoring stack: for development, demos and tests; not shipped."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
"""Root of the checkout; the stack's configuration files are read from there."""
