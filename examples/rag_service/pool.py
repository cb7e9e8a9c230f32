"""A bounded pool of connections, and what it tells of itself. Imports ``genai_metrics`` and the standard library."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from genai_metrics import track_pool, track_queue


class PoolTimeout(RuntimeError):
    """No connection became free in time."""


class ConnectionPool:
    """At most ``size`` connections at a time; who comes later waits, at most ``patience_seconds``. One event loop."""

    def __init__(self, name: str, size: int, patience_seconds: float = 5.0) -> None:
        self.name = name
        self.size = size
        self._patience_seconds = patience_seconds
        self._free = asyncio.Semaphore(size)
        self._active = 0
        self._waiting = 0
        self._leaked = 0

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[None]:
        """Have a connection while the block runs; raises ``PoolTimeout``."""
        self._waiting += 1
        self.tell()
        try:
            async with asyncio.timeout(self._patience_seconds):
                await self._free.acquire()
        except TimeoutError:
            raise PoolTimeout(f"no connection to {self.name} within {self._patience_seconds:g} s") from None
        finally:
            self._waiting -= 1
        self._active += 1
        self.tell()
        try:
            yield
        finally:
            self._active -= 1
            self._free.release()
            self.tell()

    async def leak(self, connections: int) -> None:
        """Have so many connections in use by nobody, as far as there are free ones; 0 gives all back."""
        while self._leaked > connections:
            self._leaked -= 1
            self._free.release()
        while self._leaked < connections and not self._free.locked():
            await self._free.acquire()
            self._leaked += 1
        self.tell()

    def tell(self) -> None:
        """Set the gauges."""
        active = self._active + self._leaked
        track_pool(self.name, active=active, idle=self.size - active, size=self.size)
        track_queue(f"{self.name}_connections", self._waiting)
