"""Load the dashboards' package first: the first import of the SDK warns, and the package keeps it quiet."""

import genai_dashboards  # noqa: F401
