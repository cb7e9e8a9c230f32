"""The running stack's numbers in one line, asked of its Prometheus: proof that data arrives, also without Grafana."""

import json
import math
import time
import urllib.error
import urllib.parse
from collections.abc import Callable

from genai_metrics import catalog
from genai_stack.children import OPENER

_CALLS, _DURATION, _INPUT, _OUTPUT = catalog.LLM_CALL.metrics[:4]
_COST = catalog.LLM_COST.metrics[0]
_WINDOW_SECONDS = 60  # four scrapes
_REFRESH_SECONDS = 5.0


def _numbers(window: str) -> tuple[tuple[str, str], ...]:
    """Return PromQL of each number over a window, with the text that shows it."""
    calls = f"sum(rate({_CALLS.name}[{window}]))"
    failed = f'(sum(rate({_CALLS.name}{{outcome="error"}}[{window}])) or vector(0))'
    tokens = f"sum(rate({_INPUT.name}[{window}])) + sum(rate({_OUTPUT.name}[{window}]))"
    return (
        (calls, "{:,.1f} LLM calls/s"),
        (f"100 * {failed} / {calls}", "{:.1f} % failed"),
        (f"histogram_quantile(0.95, sum by (le) (rate({_DURATION.name}_bucket[{window}])))", "p95 {:.2f} s"),
        (tokens, "{:,.0f} tokens/s"),
        (f"3600 * sum(rate({_COST.name}[{window}]))", "${:,.2f}/h"),
    )


class Glance:
    """Asks one Prometheus at most every 5 s; silent while it does not answer or has no data since this was made."""

    def __init__(self, prometheus_url: str, clock: Callable[[], float] = time.monotonic) -> None:
        """``prometheus_url`` ends in a slash; ``clock`` counts seconds."""
        self._url = prometheus_url
        self._clock = clock
        self._started = clock()
        self._text = ""
        self._asked = -math.inf

    def text(self) -> str:
        """Latest numbers, or an empty string before there are any; may take a second a number when asked anew."""
        # What an earlier run left in Prometheus is no sign of life of this one.
        window = min(int(self._clock() - self._started), _WINDOW_SECONDS)
        if window and self._clock() - self._asked >= _REFRESH_SECONDS:
            numbers = _numbers(f"{window}s")
            # Without calls, or without an answer, the other numbers need not be asked for.
            if self._ask(numbers[0][0]):
                values = [(self._ask(expression), form) for expression, form in numbers]
                self._text = ", ".join(form.format(value) for value, form in values if value is not None)
            self._asked = self._clock()
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
