"""The recorder of this process: made at the first record, replaced by ``configure()`` and after ``fork()``.

The only module-level state of the package. Nothing happens at import: the environment is read, the fork hook set and
the collector registered when the first recorder is made.
"""

import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry

from genai_metrics.catalog import DEFAULT_LABEL_CAPS
from genai_metrics.exposition import BlockCollector
from genai_metrics.pricing import PriceResolver
from genai_metrics.pricing import warm_up as load_price_data
from genai_metrics.recorder import Recorder
from genai_metrics.settings import Settings, from_environment

logger = logging.getLogger("genai_metrics")


class _State:
    """What belongs together and is replaced as one in a forked child."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.lock = threading.RLock()
        self.settings = settings
        self.recorder: Recorder | None = None
        self.prices: PriceResolver | None = None


_state = _State()
_caches: list[Callable[[], None]] = []
_registries: list[CollectorRegistry] = []
_fork_hook_set = False


def recorder() -> Recorder:
    """Return this process's recorder; the first call makes it from ``configure()``'s or the environment's settings."""
    current = _state.recorder
    if current is not None:
        return current
    with _state.lock:
        if _state.recorder is None:
            if _state.settings is None:
                _state.settings = from_environment()
            _install(Recorder(_state.settings), REGISTRY)
        assert _state.recorder is not None
        return _state.recorder


def existing_recorder() -> Recorder | None:
    """Return this process's recorder, or ``None`` while nothing was recorded; makes none."""
    return _state.recorder


def prices() -> PriceResolver:
    """Return the resolver for the price file of the settings; loads nothing before its first use."""
    if _state.prices is None:
        current = recorder()
        _state.prices = PriceResolver(current.settings.price_file, on_fault=current.fault)
    return _state.prices


def on_new_recorder(forget: Callable[[], None]) -> None:
    """Have ``forget`` called whenever blocks found earlier are no longer this process's."""
    _caches.append(forget)


def configure(
    *,
    metrics_dir: str | os.PathLike[str] | None = None,
    service_name: str | None = None,
    label_caps: Mapping[str, int] | None = None,
    price_file: str | os.PathLike[str] | None = None,
    pricing: bool = True,
    registry: CollectorRegistry = REGISTRY,
) -> None:
    """Set up recording in this process; what is left out comes from the environment, then from the defaults.

    Optional, and best called once before the first record; what was recorded before is carried over. Forked children
    inherit the settings.

    ``metrics_dir``: directory shared with the exporter (``GENAI_METRICS_DIR``). Without one, metrics live in this
    process and a collector on ``registry`` serves them.
    ``service_name``: value of the ``service`` label (``GENAI_SERVICE_NAME``, ``OTEL_SERVICE_NAME``).
    ``label_caps``: largest number of distinct values for some labels, e.g. ``{"tenant": 100}``; at least 1.
    ``price_file``: YAML file with your own prices (``GENAI_PRICE_FILE``). A file that cannot be used is logged and
    counted as a fault, and never stops the application.
    ``pricing``: ``False`` records no cost at all.

    Raises ``ValueError`` for an unknown label or a cap below 1. Thread-safe.
    """
    for label, cap in (label_caps or {}).items():
        if label not in DEFAULT_LABEL_CAPS:
            raise ValueError(f"label_caps: unknown label {label!r}; known are {', '.join(DEFAULT_LABEL_CAPS)}")
        if not isinstance(cap, int) or cap < 1:
            raise ValueError(f"label_caps: the cap of {label!r} must be a whole number of at least 1, not {cap!r}")
    defaults = from_environment()
    settings = replace(
        defaults,
        metrics_dir=Path(metrics_dir) if metrics_dir is not None else defaults.metrics_dir,
        service_name=service_name or defaults.service_name,
        label_caps={**DEFAULT_LABEL_CAPS, **(label_caps or {})},
        price_file=Path(price_file) if price_file is not None else defaults.price_file,
        pricing=pricing,
    )
    with _state.lock:
        earlier = _state.recorder
        _state.settings = settings
        new = Recorder(settings)
        if earlier is not None:
            new.absorb(earlier)
        _install(new, registry)


def warm_up() -> None:
    """Load the price table now (about 0.3 s, once), so that the first recorded call does not wait for it."""
    load_price_data()


def internal_fault(error: Exception) -> None:
    """Count an exception inside the package that must not reach the application; never raises."""
    try:
        recorder().fault("internal", f"cannot record: {type(error).__name__}: {error}")
    except Exception:  # nothing is left to count it with
        logger.debug("cannot count an internal fault", exc_info=True)


def _install(new: Recorder, registry: CollectorRegistry) -> None:
    global _fork_hook_set
    _state.recorder = new
    _state.prices = None
    for forget in _caches:
        forget()
    if not _fork_hook_set and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_start_afresh)
        _fork_hook_set = True
    if new.settings.metrics_dir is None and registry not in _registries:
        _register(registry)


def _register(registry: CollectorRegistry) -> None:
    try:
        registry.register(BlockCollector(existing_recorder))
    except ValueError as error:
        logger.warning("cannot serve metrics on the given prometheus_client registry: %s", error)
    _registries.append(registry)


def _start_afresh() -> None:
    """In a forked child: forget the parent's blocks; the child's first record makes its own file."""
    global _state
    parent = _state
    # A thread of the parent may have held the lock at the fork; the child has no such thread to release it.
    _state = _State(parent.settings)
    for forget in _caches:
        forget()
    if parent.recorder is not None:
        parent.recorder.abandon_in_child()
