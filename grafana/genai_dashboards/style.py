"""What everything shares: the data source, colours with one meaning on all dashboards, units; no panels, no queries."""

from typing import Final

from grafana_foundation_sdk.models import common, units
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

DATASOURCE: Final = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
"""The data source that the variable selects; every query uses it."""

GOOD, DEGRADED, BAD, CACHED, NEUTRAL, IDLE = "green", "orange", "red", "blue", "text", "gray"
"""Success; degraded or warned of; failed or critical; answered from a cache; a number without judgement; unused."""

STATES: Final = {"ok": GOOD, "warning": DEGRADED, "critical": BAD}
"""Colour of a value by what its thresholds say; also names the series that ``judgement.judged`` returns."""

THRESHOLDS: Final = {"target threshold": GOOD, "warning threshold": DEGRADED, "critical threshold": BAD}
"""Colour of the lines that ``judgement.threshold_lines`` draws, by name."""

COLOURS: Final = {
    "success": GOOD,
    "hit": CACHED,
    "up": GOOD,
    "yes": GOOD,
    "degraded": DEGRADED,
    "warning": DEGRADED,
    "error": BAD,
    "down": BAD,
    "critical": BAD,
    "no": BAD,
    "miss": DEGRADED,
    "cached": CACHED,
    "cache_read": CACHED,
    "idle": IDLE,
}
"""Colour of series by name, where a name has a meaning of its own; used by every panel that shows such series."""

REQUESTS_PER_SECOND: Final = units.RequestsPerSecond
PER_SECOND: Final = units.CountsPerSecond
PER_MINUTE: Final = units.CountsPerMinute
SECONDS: Final = units.Seconds
DURATION: Final = units.DurationSeconds
"""Long times, in words: uptime, age."""
SHARE: Final = units.PercentUnit
"""0 to 1, shown as percent."""
DOLLARS: Final = units.Dollars
COUNT: Final = units.Short
BYTES: Final = units.BytesIEC
BYTES_PER_SECOND: Final = units.BytesPerSecondIEC
CELSIUS: Final = units.Celsius
WATTS: Final = units.Watt
TOKENS_PER_SECOND: Final = "suffix: tokens/s"

MICRODOLLARS: Final = 6
"""Decimals of the cost of a single request: $0.000045 must not read as $0.00. Sums leave the choice to Grafana."""

MOST_POINTS: Final = 400
"""Points of a line: an hour has one each 15 s, a week one each half hour.

Over days what a graph costs Prometheus is points times series; beyond some hundred points nobody sees a difference.
"""

FEWER_POINTS: Final = 160
"""The same of what reads a histogram of each model: an hour has one point each 30 s, a week one each hour."""

NO_REQUESTS: Final = "no requests in this time range"
NO_CALLS: Final = "no LLM calls in this time range"


def fixed_colour(colour: str) -> DynamicConfigValue:
    """Property of an override: that colour, whatever the value."""
    return DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": colour})
