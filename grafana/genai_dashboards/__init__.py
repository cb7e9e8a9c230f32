"""Dashboards as Python: writes ``grafana/dashboards/*.json``, which are what is shipped.

For development only.
Metric names come from ``genai_metrics.catalog``; panel defaults from ``style``, PromQL from ``queries``.
"""

import warnings

with warnings.catch_warnings():
    # The SDK announces its successor when the module is first loaded. We stay on the classic schema on
    # purpose: Grafana's file provisioning accepts no other.
    warnings.simplefilter("ignore", DeprecationWarning)
    import grafana_foundation_sdk.builders.dashboard
    import grafana_foundation_sdk.builders.stat
    import grafana_foundation_sdk.builders.timeseries  # noqa: F401
