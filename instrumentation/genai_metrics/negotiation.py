"""Which format and coding a client asks for: the Accept and Accept-Encoding headers of a scrape.

Imports the standard library only. Both endpoints use it: the exporter's and the one that applications mount.
"""

from collections.abc import Iterator

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Content type of the Prometheus text format."""

OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
"""Content type of OpenMetrics."""


def prefers_openmetrics(accept: str) -> bool:
    """Whether an Accept header ranks OpenMetrics 1.0.0 at least as high as plain text; malformed parts are ignored."""
    openmetrics = plain = 0.0
    for name, parameters, quality in _ranges(accept):
        if _is_openmetrics(name, parameters):
            openmetrics = max(openmetrics, quality)
        elif name in ("text/plain", "text/*", "*/*"):
            plain = max(plain, quality)
    return openmetrics > 0 and openmetrics >= plain


def allows_utf8(accept: str) -> bool:
    """Whether an Accept header takes OpenMetrics 1.0.0 with names that are not of the classic letters, in quotes."""
    return any(
        quality > 0 and _is_openmetrics(name, parameters) and parameters.get("escaping") == "allow-utf-8"
        for name, parameters, quality in _ranges(accept)
    )


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header allows gzip, by name or by ``*``; malformed parts are ignored."""
    qualities = {name: quality for name, _, quality in _ranges(accept_encoding)}
    return qualities.get("gzip", qualities.get("*", 0.0)) > 0


def _is_openmetrics(name: str, parameters: dict[str, str]) -> bool:
    return name == "application/openmetrics-text" and parameters.get("version", "1.0.0") == "1.0.0"


def _ranges(header: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield name, parameters and quality (0 to 1) of each element of an Accept or Accept-Encoding header."""
    for element in header.split(","):
        name, *rest = (part.strip() for part in element.split(";"))
        pairs = (part.partition("=") for part in rest)
        parameters = {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs}
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            quality = 0.0
        if name and 0 <= quality <= 1:
            yield name.lower(), parameters, quality
