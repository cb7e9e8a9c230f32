"""Pools, queues and dependencies, as the application sees them. No function raises; any thread may call them."""

from genai_metrics import runtime
from genai_metrics.catalog import DEPENDENCY, POOL_CONNECTIONS, POOL_SIZE
from genai_metrics.numbers import checked_flag
from genai_metrics.observations import set_gauge
from genai_metrics.sizes import LENGTH, set_size


def track_pool(name: str, *, active: float | None = None, idle: float | None = None, size: float | None = None) -> None:
    """Set the state of this process's connection pool; pools of equal name in several processes add up.

    ``active``, ``idle``: connections in use and not in use; ``size``: how many there may be. What is left out stays.
    """
    try:
        for slot, (argument, value) in enumerate((("active", active), ("idle", idle))):
            if value is not None:
                set_gauge(POOL_CONNECTIONS, (name,), value, name=argument, slot=slot)
        if size is not None:
            set_gauge(POOL_SIZE, (name,), size, name="size")
    except Exception as error:
        runtime.internal_fault(error)


def track_queue(name: str, length: float, *, shared: bool = False) -> None:
    """Set how many items wait in a queue.

    Queues of equal name in several processes add up; of a ``shared`` one (in a broker, say) the last word counts. One
    process that has both under one name has made a mistake: they add up, and count as a fault.
    """
    try:
        is_shared = checked_flag(runtime.recorder(), "shared", shared)
        set_size(LENGTH, name, length, shared=is_shared, argument="length")
    except Exception as error:
        runtime.internal_fault(error)


def track_dependency(name: str, up: bool) -> None:
    """Say whether a dependency (Redis, a vector store, a provider) could be used just now; the last word counts."""
    try:
        set_gauge(DEPENDENCY, (name,), 1.0 if up else 0.0, name="up")
    except Exception as error:
        runtime.internal_fault(error)
