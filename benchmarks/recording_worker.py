"""Times one way to record, in a process of its own: ``python -m benchmarks.recording_worker INDEX``.

Reads commands from standard input and answers each with one line. ``warm N``: nanoseconds of processor time per call
over N calls. ``cold N``: the same of each of N single calls that follow an eviction of the processor's caches.
"""

import gc
import sys
import time
from itertools import repeat
from pathlib import Path

from benchmarks.peers import Record
from benchmarks.ways import MODEL, PROVIDER, WAYS

LEAST_EVICTION_BYTES = 32 * 2**20
MOST_EVICTION_BYTES = 256 * 2**20


def eviction_bytes() -> int:
    """How much must be touched to evict everything: twice the last-level cache, within bounds."""
    sizes = Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    largest = max((int(path.read_text().strip().rstrip("K")) * 1024 for path in sizes), default=0)
    return min(max(LEAST_EVICTION_BYTES, 2 * largest), MOST_EVICTION_BYTES)


def warm(record: Record, tenant: str | None, count: int) -> float:
    """Nanoseconds of processor time per call, over a loop of calls.

    Not by the clock: recording waits for nothing, and other programs on the machine must not count.
    """
    calls = repeat(None, count)
    begun = time.thread_time_ns()
    for _ in calls:
        record(
            mode="1",
            provider=PROVIDER,
            model=MODEL,
            operation="chat",
            tenant=tenant,
            input_tokens=12_000,
            output_tokens=350,
            cached=False,
            duration=6.25,
            time_to_first_token=1.125,
            cached_input_tokens=8000,
            cache_write_tokens=1000,
            reasoning_tokens=50,
        )
    return (time.thread_time_ns() - begun) / count


def cold(record: Record, tenant: str | None, count: int) -> list[float]:
    """Nanoseconds of single calls, reading the clock included; before each, a large copy takes over the caches."""
    source = memoryview(bytearray(b"x") * (eviction_bytes() // 2))
    target = memoryview(bytearray(len(source)))
    samples = []
    for _ in range(count):
        target[:] = source
        samples.append(warm(record, tenant, 1))
    return samples


def main() -> None:
    """Serve commands until standard input ends."""
    way = WAYS[int(sys.argv[1])]
    record = way.make()
    warm(record, way.tenant, 100)  # label tuples are made, prices resolved
    gc.collect()
    gc.disable()
    print("ready", flush=True)
    for line in sys.stdin:
        command, count = line.split()
        values = [warm(record, way.tenant, int(count))] if command == "warm" else cold(record, way.tenant, int(count))
        print(*values, flush=True)


if __name__ == "__main__":
    main()
