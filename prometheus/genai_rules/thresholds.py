"""What each level of thresholds is judged for; the thresholds themselves are in the catalogue."""

from dataclasses import dataclass

from genai_metrics import catalog
from genai_metrics.catalog import BlockKind, MetricSpec
from genai_metrics.catalog.thresholds import THRESHOLDS


@dataclass(frozen=True)
class Level:
    """What a group of thresholds is judged for: one subject for each combination of ``labels`` that has data.

    ``labels`` are one or two, the first the more general; ``kinds`` are the block kinds whose first metric tells which
    subjects exist, an empty tuple for every exporter that is scraped.
    """

    labels: tuple[str, ...]
    kinds: tuple[BlockKind, ...]

    @property
    def name(self) -> str:
        """Level of the recorded series: its labels."""
        return "_".join(self.labels)

    @property
    def thresholds(self) -> tuple[str, ...]:
        """Names, without prefix, of the thresholds that may be set for these labels."""
        return tuple(threshold.name for threshold in THRESHOLDS if threshold.labels == self.labels)

    @property
    def metrics(self) -> tuple[MetricSpec, ...]:
        """Metrics that tell which subjects exist."""
        return tuple(kind.metrics[0] for kind in self.kinds)


LEVELS = (
    Level(("service", "mode"), (catalog.LLM_CALL, catalog.WORKFLOW, catalog.QUALITY)),
    Level(("service", "cache"), (catalog.CACHE_LOOKUPS, catalog.CACHE_ENTRIES, catalog.CACHE)),
    Level(("service", "provider"), (catalog.LLM_CALL,)),
    Level(("service", "tool"), (catalog.TOOL,)),
    Level(("service", "source"), (catalog.RETRIEVAL,)),
    Level(("service", "pool"), (catalog.POOL_SIZE,)),
    Level(("service",), (catalog.LLM_CALL, catalog.LLM_COST)),
    Level(("instance",), ()),
)
"""Every level."""
