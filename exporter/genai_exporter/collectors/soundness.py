"""What families must be like before they are served beside those of others; imports prometheus_client only.

prometheus_client writes nearly everything: names that no Prometheus takes with other letters, samples under a foreign
name, a series twice. Each would be found at the other end, as series that are missing or wrong.
"""

import re
from collections.abc import Iterable

from prometheus_client.core import Metric

# Colons are for recording rules.
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_SUFFIXES = {
    "counter": ("_total", "_created"),
    "gauge": ("",),
    "histogram": ("_bucket", "_count", "_sum", "_created"),
    "summary": ("", "_count", "_sum", "_created"),
    "info": ("_info",),
    "stateset": ("",),
    "unknown": ("",),
}


def sample_names(family: str, type_: str) -> frozenset[str]:
    """Return what samples of a family may be called; raises ``ValueError`` for a type that is not served."""
    if type_ not in _SUFFIXES:
        raise ValueError(f"family {family} is of the type {type_}; known: {', '.join(_SUFFIXES)}")
    return frozenset(family + suffix for suffix in _SUFFIXES[type_])


def check(families: Iterable[Metric]) -> frozenset[str]:
    """Return all names, of families and their samples; raises ``ValueError`` that names what is not sound."""
    names: set[str] = set()
    for family in families:
        if not isinstance(family, Metric):
            raise ValueError(f"{type(family).__name__} is not a family of metrics")
        if not _NAME.fullmatch(family.name):
            raise ValueError(f"{family.name!r} is not a name of a family")
        own = sample_names(family.name, family.type) | {family.name}
        if twice := sorted(names & own):
            raise ValueError(f"it yields {twice[0]} twice")
        names |= own
        _check_samples(family, own)
    return frozenset(names)


def _check_samples(family: Metric, names: frozenset[str]) -> None:
    seen: set[tuple[str, frozenset[tuple[str, str]]]] = set()
    for sample in family.samples:
        if sample.name not in names:
            raise ValueError(f"{sample.name!r} is not a sample of the {family.type} {family.name}")
        for label, value in sample.labels.items():
            if not _NAME.fullmatch(label) or label.startswith("__") or not isinstance(value, str):
                raise ValueError(f"{label!r}: {value!r} is not a label of {family.name}")
        if not _is_number(sample.value):
            raise ValueError(f"{sample.value!r} is not a value of {family.name}")
        series = (sample.name, frozenset(sample.labels.items()))
        if series in seen:
            raise ValueError(f"it yields the series {sample.name} {dict(sample.labels)} twice")
        seen.add(series)


def _is_number(value: object) -> bool:
    # prometheus_client would take the text "7" as well, and None for a family without samples.
    return isinstance(value, int | float)
