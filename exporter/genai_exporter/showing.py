"""Which series are shown with their value yet, and which as 0.

Born at zero, for scrapes of everything and of some metrics alone: what a scrape does not show does not count as shown.
Imports genai_metrics, ``shown`` and ``totals``.
"""

from collections.abc import Collection, Iterable, Sequence

from genai_exporter.shown import SHOWN, ShownRecord
from genai_exporter.totals import Total
from genai_metrics.births import Births
from genai_metrics.catalog import BlockKind
from genai_metrics.exposition import Row
from genai_metrics.selection import is_selected

ByKind = Iterable[tuple[BlockKind, list[Total]]]


class Showing:
    """Turns totals into what is shown of them. One thread at a time.

    A total counts as shown as a whole, unless it was first seen in a scrape of some metrics alone: then metric by
    metric, until the last one is shown. The record of what has been shown knows totals only: after a restart one that
    was shown in part counts as shown, because a first increment that is lost is better than a counter reset.
    """

    def __init__(self, record: ShownRecord, births: Births) -> None:
        self._record = record
        self._births = births
        # Indices of the metrics of its kind whose values are shown, for totals that are shown in part.
        self._parts: dict[Total, set[int]] = {}

    def rows(self, by_kind: ByKind, round_: int, names: Collection[str] | None) -> dict[BlockKind, list[Row]]:
        """Return what is to be shown, by kind; series that are about to be shown above 0 are recorded first.

        ``names``: of the metrics that this scrape shows, ``None`` for all.
        """
        kinds = list(by_kind)
        self._grow([(kind, totals) for kind, totals in kinds if kind.merge == "sum"], names)
        rows: dict[BlockKind, list[Row]] = {}
        for kind, totals in kinds:
            if kind.merge == "sum":
                zeros = [0.0] * kind.slots
                rows[kind] = [(t.labels, t.values() if t.shown else self._young(t, zeros)) for t in totals]
            else:
                rows[kind] = [(t.labels, t.values()) for t in totals if t.was_added_in(round_)]
        return rows

    def _grow(self, kinds: list[tuple[BlockKind, list[Total]]], names: Collection[str] | None) -> None:
        """Find out what has been 0 for long enough, record it, and mark it as shown."""
        whole: list[Total] = []
        in_part: list[tuple[Total, list[int]]] = []
        for kind, totals in kinds:
            metrics = [i for i, metric in enumerate(kind.metrics) if names is None or is_selected(metric, names)]
            for total in totals if metrics else ():
                if total.shown:
                    continue
                if total not in self._parts:
                    if names is None or self._births.has_begun(total):
                        if self._births.may_show(total):
                            whole.append(total)
                        continue
                    self._parts[total] = set()
                if due := self._due(total, metrics):
                    in_part.append((total, due))
        self._record.append(SHOWN, [*whole, *(total for total, _ in in_part if not self._parts[total])])
        for total in whole:
            total.shown = True
            self._births.forget(total)
        for total, due in in_part:
            self._show(total, due)

    def _due(self, total: Total, metrics: Iterable[int]) -> list[int]:
        """Return those of ``metrics`` that have been 0 for long enough and are not shown yet."""
        shown = self._parts[total]
        return [i for i in metrics if i not in shown and self._births.may_show((total, i))]

    def _show(self, total: Total, metrics: Iterable[int]) -> None:
        for i in metrics:
            self._parts[total].add(i)
            self._births.forget((total, i))
        if len(self._parts[total]) == len(total.kind.metrics):
            total.shown = True
            del self._parts[total]

    def _young(self, total: Total, zeros: Sequence[float]) -> Sequence[float]:
        """Return the values of a total that is not shown as a whole."""
        shown = self._parts.get(total)
        if not shown:
            return zeros
        values, mixed = total.values(), list(zeros)
        for i, (metric, offset) in enumerate(total.kind.layout()):
            if i in shown:
                mixed[offset : offset + metric.slots] = values[offset : offset + metric.slots]
        return mixed
