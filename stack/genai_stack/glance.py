"""The running stack's numbers in one line, asked of its Prometheus: proof that data arrives, also without Grafana."""

import json
import math
import time
import urllib.error
import urllib.parse

from genai_metrics import catalog
from genai_stack.children import OPENER

_CALLS, _DURATION, _INPUT, _OUTPUT = catalog.LLM_CALL.metrics[:4]
_COST = catalog.LLM_COST.metrics[0]
_WINDOW = "1m"  # four scrapes
_REFRESH_SECONDS = 5.0

# PromQL of each number, with the text that shows it.
_NUMBERS = (
    (f"sum(rate({_CALLS.name}[{_WINDOW}]))", "{:,.1f} LLM calls/s"),
    (
        f'100 * (sum(rate({_CALLS.name}{{outcome="error"}}[{_WINDOW}])) or vector(0)) '
        f"/ sum(rate({_CALLS.name}[{_WINDOW}]))",
        "{:.1f} % failed",
    ),
    (f"histogram_quantile(0.95, sum by (le) (rate({_DURATION.name}_bucket[{_WINDOW}])))", "p95 {:.2f} s"),
    (
        f"sum(rate({_INPUT.name}[{_WINDOW}])) + sum(rate({_OUTPUT.name}[{_WINDOW}]))",
        "{:,.0f} tokens/s",
    ),
    (f"3600 * sum(rate({_COST.name}[{_WINDOW}]))", "${:,.2f}/h"),
)


class Glance:
    """Asks one Prometheus at most every 5 s; silent while it does not answer or has no data."""

    def __init__(self, prometheus_url: str) -> None:
        """``prometheus_url`` ends in a slash."""
        self._url = prometheus_url
        self._text = ""
        self._asked = -math.inf

    def text(self) -> str:
        """Latest numbers, or an empty string before there are any; may take a second a number when asked anew."""
        if time.monotonic() - self._asked >= _REFRESH_SECONDS:
            # Without calls, or without an answer, the other numbers need not be asked for.
            if self._ask(_NUMBERS[0][0]):
                values = [(self._ask(expression), form) for expression, form in _NUMBERS]
                self._text = ", ".join(form.format(value) for value, form in values if value is not None)
            self._asked = time.monotonic()
        return self._text

    def _ask(self, expression: str) -> float | None:
        """Value of an expression that yields one number; None when there is none or no answer."""
        query = urllib.parse.urlencode({"query": expression})
        try:
            with OPENER.open(f"{self._url}api/v1/query?{query}", timeout=1.0) as response:
                result = json.load(response)["data"]["result"]
            value = float(result[0]["value"][1])
        except (OSError, urllib.error.URLError, ValueError, LookupError, TypeError):
            return None
        return value if math.isfinite(value) else None
