"""Pools, queues and dependencies, as the application sees them. No function raises; any thread may call them."""

from genai_metrics import runtime
from genai_metrics.blocks import Block, Key
from genai_metrics.catalog import DEPENDENCY, POOL_CONNECTIONS, POOL_IN_USE, POOL_SIZE
from genai_metrics.numbers import checked_flag
from genai_metrics.observations import set_gauge
from genai_metrics.sizes import LENGTH, set_size


def track_pool(name: str, *, active: float | None = None, idle: float | None = None, size: float | None = None) -> None:
    """Set the state of this process's connection pool; pools of equal name in several processes add up.

    ``active``, ``idle``: connections in use and not in use; ``size``: how many there may be. What is left out stays.
    The share in use, which needs both ``active`` and ``size``, is not added up: that of the fullest process is shown.
    """
    try:
        told: list[Block | None] = []
        for slot, (argument, value) in enumerate((("active", active), ("idle", idle))):
            if value is not None:
                told.append(set_gauge(POOL_CONNECTIONS, (name,), value, name=argument, slot=slot))
        if size is not None:
            told.append(set_gauge(POOL_SIZE, (name,), size, name="size"))
        for block in told:
            if block is not None:
                _set_in_use(block.key)
                break
    except Exception as error:
        runtime.internal_fault(error)


def _set_in_use(key: Key) -> None:
    """Set the share in use of a pool of which both connections and size are known."""
    recorder = runtime.recorder()
    connections, size = recorder.existing(POOL_CONNECTIONS, key), recorder.existing(POOL_SIZE, key)
    if connections is None or size is None:
        return
    in_use = recorder.block_of(POOL_IN_USE, key)
    # One step, which reads what all threads told before: the last one leaves the share of what stands there.
    if in_use.lock is None:
        in_use.values[0] = connections.values[0] / size.values[0] if size.values[0] > 0.0 else 0.0
    else:
        with in_use.lock:
            in_use.values[0] = connections.values[0] / size.values[0] if size.values[0] > 0.0 else 0.0


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
