"""How the copies are called that ``prometheus/rules/recording_sparse.yml`` records every 20 minutes. Pure data."""

from typing import Final

FINE_PREFIX: Final = "genai"
"""First part of the name of every metric."""

SPARSE_PREFIX: Final = "genai20m"
"""First part of the name of a copy; all else is as in the name of what it is of."""

SPARSE_SECONDS: Final = 1_200
"""Time from one sample of a copy to the next."""


def sparse(name: str) -> str:
    """Return the name of the copy of a metric's or recorded series, whether it is recorded or not."""
    return name.replace(f"{FINE_PREFIX}_", f"{SPARSE_PREFIX}_", 1)
