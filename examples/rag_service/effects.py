"""What a worker does by itself while it runs: carries out the faults that are on, and looks after dependencies."""

import asyncio
import itertools
import random
import time

from genai_metrics import track_dependency
from rag_service.backends import Backends
from rag_service.retrieval import POOL_SIZE

_TICK_SECONDS = 0.25
_FLOOD_PER_SECOND = 40.0
_LEAKED = POOL_SIZE - 1
_CLEAR_SECONDS = 1.0
_CHECK_SECONDS = 2.0
_READING_SECONDS = 900.0
VECTOR_STORE, ORDER_DATABASE = "vector_store", "order_database"


class Effects:
    """The faults that act on their own, rather than on a request; to be ticked. One event loop."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends
        self._lapse = backends.settings.time_lapse
        self._flooded = itertools.count()
        self._to_flood = 0.0
        self._cleared = 0.0
        self._checked = 0.0
        self._ticked = time.monotonic()
        # Workers one after the other, as they start together.
        self._next_reading = self._ticked + random.uniform(0.1, 1.0) * _READING_SECONDS / self._lapse

    async def work(self) -> None:
        """Tick for ever."""
        while True:
            await self.tick()
            await asyncio.sleep(_TICK_SECONDS)

    async def tick(self) -> None:
        """Bring about what the faults that are on now demand, and undo that of others."""
        backends, is_on = self._backends, self._backends.faults.is_on
        now = time.monotonic()
        elapsed, self._ticked = now - self._ticked, now
        backends.caches.limit_responses(is_on("cache_too_small"))
        if is_on("cache_cleared") and now - self._cleared >= _CLEAR_SECONDS / self._lapse:
            self._cleared = now
            backends.caches.responses.clear()
        self._flood(elapsed * self._lapse, is_on("eviction_storm"))
        await backends.retriever.pool.leak(_LEAKED if is_on("pool_exhausted") else 0)
        if now >= self._next_reading:
            # As after a new edition of the reports: they are read again.
            self._next_reading = now + _READING_SECONDS / self._lapse
            backends.caches.documents.clear()
        if now - self._checked >= _CHECK_SECONDS:
            self._checked = now
            track_dependency(VECTOR_STORE, not is_on("dependency_down"))
            track_dependency(ORDER_DATABASE, True)
            backends.evaluations.tell()
            backends.caches.responses.expire()

    def _flood(self, elapsed: float, on: bool) -> None:
        """Write embeddings that nobody asks for; all workers together as many a second as the fault demands."""
        caches = self._backends.caches
        caches.limit_embeddings(on)
        self._to_flood = self._to_flood + elapsed * _FLOOD_PER_SECOND / self._backends.settings.workers if on else 0.0
        while self._to_flood >= 1.0:
            self._to_flood -= 1.0
            caches.embeddings[f"flood {next(self._flooded)}"] = []
