"""Rules whose expressions follow one pattern: writes ``prometheus/rules/effective.yml``.

For development only. Metric names come from ``genai_metrics.catalog``; the numbers are in
``prometheus/rules/thresholds.yml``.
"""
