"""Settings of the recorder, from ``configure()`` or the environment.

Imports the catalogue only; reads the environment when asked to, never at import.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from genai_metrics.catalog import DEFAULT_LABEL_CAPS

if TYPE_CHECKING:
    from genai_metrics.hashing import TenantHash

DEFAULT_THRESHOLDS: Mapping[str, float] = MappingProxyType(
    {"critical": 0.8, "important": 0.7, "normal": 0.6, "low": 0.5}
)
"""Score from 0 to 1 below which an answer counts as poor, by priority."""

DEFAULT_SERVICE = "unknown_service"


_NO = ("0", "false", "no", "off")


@dataclass(frozen=True)
class Settings:
    """What a recorder is made from.

    ``metrics_dir``: where the process keeps its file for the exporter; ``None`` keeps everything in private memory,
    served by a collector on the prometheus_client registry. ``metrics_dir_shared``: ``"group"`` where users of one
    group share the directory, else ``None``. ``label_caps``: largest number of distinct values by label, for every
    label of the catalogue. ``quality_thresholds``: score from 0 to 1 below which an answer counts as poor, by
    priority. ``pricing``: ``False`` looks up no prices and counts no call as unpriced. ``token_counter``: from model
    and text to tokens, for calls whose usage was not reported; ``None`` takes four characters for one. ``exemplars``:
    ``False`` never asks OpenTelemetry for the active span. ``tenant_hash``: replaces tenants by hashes; ``None``
    records their names.
    """

    metrics_dir: Path | None = None
    metrics_dir_shared: str | None = None
    service_name: str = DEFAULT_SERVICE
    label_caps: Mapping[str, int] = field(default_factory=lambda: MappingProxyType(DEFAULT_LABEL_CAPS))
    price_file: Path | None = None
    pricing: bool = True
    quality_thresholds: Mapping[str, float] = field(default_factory=lambda: DEFAULT_THRESHOLDS)
    token_counter: Callable[[str, str], int] | None = None
    exemplars: bool = True
    tenant_hash: "TenantHash | None" = None


def from_environment() -> Settings:
    """Read ``GENAI_METRICS_DIR``, ``GENAI_METRICS_DIR_SHARED``, ``GENAI_SERVICE_NAME`` (else ``OTEL_SERVICE_NAME``),
    ``GENAI_PRICE_FILE``, ``GENAI_TENANT_HASH_KEY_FILE`` and ``GENAI_EXEMPLARS``.
    """
    env = os.environ
    metrics_dir, price_file = env.get("GENAI_METRICS_DIR"), env.get("GENAI_PRICE_FILE")
    # An empty one is a mistake, not the wish to record names: it must not leak them.
    key_file = env.get("GENAI_TENANT_HASH_KEY_FILE")
    return Settings(
        metrics_dir=Path(metrics_dir) if metrics_dir else None,
        metrics_dir_shared=env.get("GENAI_METRICS_DIR_SHARED") or None,
        service_name=env.get("GENAI_SERVICE_NAME") or env.get("OTEL_SERVICE_NAME") or DEFAULT_SERVICE,
        price_file=Path(price_file) if price_file else None,
        tenant_hash=None if key_file is None else tenant_hash(key_file),
        exemplars=env.get("GENAI_EXEMPLARS", "").strip().lower() not in _NO,
    )


def tenant_hash(key_file: str | os.PathLike[str]) -> "TenantHash":
    """Return what hashes tenants with the key in a file; reads nothing yet."""
    from genai_metrics.hashing import TenantHash

    return TenantHash(Path(key_file))
