"""The recorder of this process: made at the first record, replaced by ``configure()`` and after ``fork()``.

The only module-level state of the package. Nothing happens at import: the environment is read, the fork hook set and
the collector registered when the first recorder is made.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import REGISTRY, CollectorRegistry

from genai_metrics.catalog import DEFAULT_LABEL_CAPS
from genai_metrics.exposition import BlockCollector
from genai_metrics.ownership import SHARED_CHOICES
from genai_metrics.recorder import Recorder
from genai_metrics.settings import DEFAULT_THRESHOLDS, Settings, from_environment, tenant_hash

if TYPE_CHECKING:
    from genai_metrics.pricing import Price, PriceResolver

logger = logging.getLogger("genai_metrics")


class _State:
    """What belongs together and is replaced as one in a forked child."""

    def __init__(self, settings: Settings | None = None, registry: CollectorRegistry = REGISTRY) -> None:
        self.lock = threading.RLock()
        self.registry = registry
        self.settings = settings
        self.recorder: Recorder | None = None
        self.prices: PriceResolver | None = None
        self.known_prices: dict[tuple[str | None, str], Price | None] = {}
        # Held while prices are looked up, which may import genai-prices, and while forking: a child that is forked in
        # the middle of another thread's import waits for ever when it needs the same module.
        self.price_lock = threading.RLock()
        self.pricing_thread: int | None = None


_state = _State()
_caches: list[Callable[[], None]] = []
_registries: list[CollectorRegistry] = []
_fork_hook_set = False
_KNOWN_PRICES = 1000
_LONGEST_FORK_DELAY_SECONDS = 5.0


def recorder() -> Recorder:
    """Return this process's recorder; the first call makes it from ``configure()``'s or the environment's settings."""
    current = _state.recorder
    if current is not None:
        return current
    with _state.lock:
        if _state.recorder is None:
            if _state.settings is None:
                _state.settings = from_environment()
            new = Recorder(_state.settings)
            if existing_recorder() is None:
                _install(new)
            else:  # a signal handler that records was faster
                new.let_go()
        assert _state.recorder is not None
        return _state.recorder


def existing_recorder() -> Recorder | None:
    """Return this process's recorder, or ``None`` while nothing was recorded; makes none."""
    return _state.recorder


def prices() -> "PriceResolver":
    """Return the resolver for the price file of the settings; loads nothing before its first use."""
    if _state.prices is None:
        # Not with the package, which would take a quarter longer to import: not every process looks prices up.
        from genai_metrics.pricing import PriceResolver

        current = recorder()
        _state.prices = PriceResolver(current.settings.price_file, on_fault=current.fault)
    return _state.prices


def price_of(provider: str | None, model: str) -> "tuple[Price | None, bool]":
    """Return the price of a model now (``None``: unknown), and whether that answer may be kept until it expires.

    Remembers what it found: looking up takes up to a millisecond, and the first one 0.3 s.
    """
    state = _state
    try:
        known = state.known_prices[provider, model]
    except KeyError:
        pass
    else:
        if known is None or known.expires_at is None or time.time() < known.expires_at:
            return known, True
    if state.pricing_thread == threading.get_ident():
        # A signal handler interrupts its own thread's look-up, perhaps an import that is half done.
        return None, False
    with state.price_lock:
        state.pricing_thread = threading.get_ident()
        try:
            price = prices().resolve(provider, model)
        finally:
            state.pricing_thread = None
    if len(state.known_prices) >= _KNOWN_PRICES:
        state.known_prices.clear()
    state.known_prices[provider, model] = price
    return price, True


def on_new_recorder(forget: Callable[[], None]) -> None:
    """Have ``forget`` called whenever blocks found earlier are no longer this process's."""
    _caches.append(forget)


def configure(
    *,
    metrics_dir: str | os.PathLike[str] | None = None,
    metrics_dir_shared: str | None = None,
    service_name: str | None = None,
    label_caps: Mapping[str, int] | None = None,
    price_file: str | os.PathLike[str] | None = None,
    pricing: bool = True,
    quality_thresholds: Mapping[str, float] | None = None,
    token_counter: Callable[[str, str], int] | None = None,
    exemplars: bool | None = None,
    tenant_hash_key_file: str | os.PathLike[str] | None = None,
    registry: CollectorRegistry = REGISTRY,
) -> None:
    """Set up recording in this process; what is left out comes from the environment, then from the defaults.

    Optional, and best called once before the first record; what was recorded before is carried over. Forked children
    inherit the settings.

    ``metrics_dir``: directory shared with the exporter (``GENAI_METRICS_DIR``). Without one, metrics live in this
    process and a collector on ``registry`` serves them. It is made for this user alone; one that others may write to is
    not used, which is logged and counted as a fault.
    ``metrics_dir_shared``: ``"group"`` where several users of one group write to the directory on purpose
    (``GENAI_METRICS_DIR_SHARED``).
    ``service_name``: value of the ``service`` label (``GENAI_SERVICE_NAME``, ``OTEL_SERVICE_NAME``).
    ``label_caps``: largest number of distinct values for some labels, e.g. ``{"tenant": 100}``; at least 1.
    ``price_file``: YAML file with your own prices (``GENAI_PRICE_FILE``). A file that cannot be used is logged and
    counted as a fault, and never stops the application.
    ``pricing``: ``False`` looks up no prices; only cost and rates given in a call count.
    ``quality_thresholds``: score from 0 to 1 below which an answer counts as poor, by priority; your own priorities
    may be among them. Default: critical 0.8, important 0.7, normal 0.6, low 0.5.
    ``token_counter``: from model and text to its number of tokens, for calls whose provider reports no usage. By
    default four characters are one token. An exception or an answer that is no whole number counts as a fault.
    ``exemplars``: ``False`` keeps the active OpenTelemetry span's trace id out of the durations of calls and workflows
    (``GENAI_EXEMPLARS=0``). By default it is in, as far as the application uses OpenTelemetry.
    ``tenant_hash_key_file``: records tenants as the first 16 digits of their HMAC-SHA256 with the key in this file, at
    least 32 bytes that only its owner may read (``GENAI_TENANT_HASH_KEY_FILE``). With a key that cannot be used, which
    is logged and counted as a fault, all tenants are recorded as ``__unhashed__``.
    ``registry``: where the collector goes; used only without a metrics directory.

    Raises ``ValueError`` for an unknown label, a cap below 1, a threshold outside 0-1 or another way of sharing.
    Thread-safe.
    """
    if metrics_dir_shared not in (None, *SHARED_CHOICES):
        raise ValueError(f"metrics_dir_shared: {metrics_dir_shared!r} is unknown; give 'group' or leave it out")
    for label, cap in (label_caps or {}).items():
        if label not in DEFAULT_LABEL_CAPS:
            raise ValueError(f"label_caps: unknown label {label!r}; known are {', '.join(DEFAULT_LABEL_CAPS)}")
        if not isinstance(cap, int) or cap < 1:
            raise ValueError(f"label_caps: the cap of {label!r} must be a whole number of at least 1, not {cap!r}")
    for priority, threshold in (quality_thresholds or {}).items():
        if not 0.0 <= threshold <= 1.0:
            raise ValueError(f"quality_thresholds: {priority!r} must be from 0 to 1, not {threshold!r}")
    defaults = from_environment()
    settings = replace(
        defaults,
        metrics_dir=Path(metrics_dir) if metrics_dir is not None else defaults.metrics_dir,
        metrics_dir_shared=metrics_dir_shared or defaults.metrics_dir_shared,
        service_name=service_name or defaults.service_name,
        label_caps={**DEFAULT_LABEL_CAPS, **(label_caps or {})},
        price_file=Path(price_file) if price_file is not None else defaults.price_file,
        pricing=pricing,
        quality_thresholds={**DEFAULT_THRESHOLDS, **(quality_thresholds or {})},
        token_counter=token_counter,
        exemplars=defaults.exemplars if exemplars is None else exemplars,
        tenant_hash=defaults.tenant_hash if tenant_hash_key_file is None else tenant_hash(tenant_hash_key_file),
    )
    with _state.lock:
        earlier = _state.recorder
        _state.settings = settings
        _state.registry = registry
        _install(Recorder(settings, earlier))


def restart() -> None:
    """Go on with a recorder that has counted nothing; to the exporter the earlier one's file is an ended process's."""
    with _state.lock:
        earlier = _state.recorder
        if earlier is not None:
            _install(Recorder(earlier.settings))
            earlier.let_go()


@contextmanager
def isolated(settings: Settings, registry: CollectorRegistry) -> Iterator[None]:
    """Have all threads record with ``settings`` while the block runs, and then as they did before."""
    global _state
    around = _state
    _state = _State(settings, registry)
    try:
        _install(Recorder(settings))
        yield
    finally:
        inside, _state = _state.recorder, around
        for forget in _caches:
            forget()
        _registries.remove(registry)
        if inside is not None:
            inside.let_go()


def warm_up() -> None:
    """Load the price table now (about 0.3 s, once), so that the first recorded call does not wait for it."""
    with _state.price_lock:
        from genai_metrics.pricing import warm_up as load_price_data

        load_price_data()


def internal_fault(error: Exception) -> None:
    """Count an exception inside the package that must not reach the application; never raises."""
    try:
        recorder().fault("internal", f"cannot record: {type(error).__name__}: {error}")
    except Exception:  # nothing is left to count it with
        pass


def _install(new: Recorder) -> None:
    global _fork_hook_set
    _state.recorder = new
    _state.prices = None
    _state.known_prices = {}
    for forget in _caches:
        forget()
    if not _fork_hook_set and hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_await_pricing, after_in_parent=_release_pricing, after_in_child=_start_afresh)
        _fork_hook_set = True
    if new.settings.metrics_dir is None and _state.registry not in _registries:
        _register(_state.registry)


def _register(registry: CollectorRegistry) -> None:
    try:
        registry.register(BlockCollector(existing_recorder))
    except ValueError as error:
        logger.warning("genai_metrics: cannot serve metrics on the given prometheus_client registry: %s", error)
    _registries.append(registry)


def _await_pricing() -> None:
    """Before a fork: wait until no other thread looks up prices; not for ever, whatever that thread does."""
    _state.price_lock.acquire(timeout=_LONGEST_FORK_DELAY_SECONDS)


def _release_pricing() -> None:
    try:
        _state.price_lock.release()
    except RuntimeError:  # not ours: the wait was too long
        pass


def _start_afresh() -> None:
    """In a forked child: forget the parent's blocks; the child's first record makes its own file."""
    global _state
    parent = _state
    # A thread of the parent may have held the lock at the fork; the child has no such thread to release it.
    _state = _State(parent.settings, parent.registry)
    for forget in _caches:
        forget()
    if parent.recorder is not None:
        parent.recorder.let_go()
