"""Tests of what a client asks for."""

import pytest

from genai_metrics.negotiation import accepts_gzip, allows_utf8, prefers_openmetrics

# Word for word what Prometheus 3 sends, with and without native histograms, and Prometheus 2.
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3_NATIVE = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,"
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"


class TestNegotiation:
    """Headers as clients send them."""

    @pytest.mark.parametrize(
        ("accept", "openmetrics"),
        [
            (PROMETHEUS_3, True),
            (PROMETHEUS_3_NATIVE, True),
            (PROMETHEUS_2, True),
            ("application/openmetrics-text", True),
            ("application/openmetrics-text; version=1.0.0, text/plain; version=0.0.4", True),
            ('application/openmetrics-text; version="1.0.0"; Q=0.5', True),
            ("text/plain;version=0.0.4;q=0.9,application/openmetrics-text;version=1.0.0;q=0.1", False),
            ("application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5", False),
            ("application/openmetrics-text;q=0", False),
            ("application/openmetrics-text;q=high", False),
            ("application/openmetrics-text;q=nan", False),
            (BROWSER, False),
            ("*/*", False),
            ("application/json", False),
            ("", False),
            (",;=,", False),
        ],
    )
    def test_format_follows_the_preference(self, accept: str, openmetrics: bool) -> None:
        """OpenMetrics only where it is accepted and ranked at least as high as text."""
        assert prefers_openmetrics(accept) is openmetrics

    @pytest.mark.parametrize(
        ("accept", "utf8"),
        [
            (PROMETHEUS_3, True),
            (PROMETHEUS_2, False),
            ("application/openmetrics-text;version=1.0.0;escaping=underscores", False),
            ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0", False),
            ("application/openmetrics-text;version=0.0.1;escaping=allow-utf-8", False),
            ("text/plain;version=1.0.0;escaping=allow-utf-8", False),
            ("", False),
        ],
    )
    def test_quoted_names_need_openmetrics_that_allows_them(self, accept: str, utf8: bool) -> None:
        """The classic text format has no quoted names, and who does not ask for them gets escaped ones."""
        assert allows_utf8(accept) is utf8

    @pytest.mark.parametrize(
        ("header", "accepted"),
        [
            ("gzip", True),
            ("gzip, deflate, br", True),
            ("GZIP;q=0.1", True),
            ("*", True),
            ("gzip;q=0, *", False),
            ("gzip;q=0.0", False),
            ("br;q=1.0, gzip;q=0.000", False),
            ("identity", False),
            ("br", False),
            ("", False),
        ],
    )
    def test_coding_follows_the_header(self, header: str, accepted: bool) -> None:
        """Gzip needs its name or a star, and a quality above 0."""
        assert accepts_gzip(header) is accepted
