"""Lists, starts and stops faults: those of the service itself, and those that it has the LLM server provoke."""

import asyncio
import os
import signal
import time
from typing import Any

import httpx

from rag_service.faults import CATALOGUE, Fault
from rag_service.settings import Settings
from rag_service.state import FaultState

_ANSWERS_FIRST_SECONDS = 0.3
"""How long a worker lives on that is to be killed: long enough to say so."""


class FaultRefused(RuntimeError):
    """A fault cannot be provoked here; the text says why and ``status`` is that of the answer."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Control:
    """What stands behind ``/faults``. One event loop."""

    def __init__(self, settings: Settings, state: FaultState) -> None:
        self._settings = settings
        self._state = state
        # Loopback: a proxy from the environment must not stand in between.
        self._llm = httpx.AsyncClient(base_url=settings.llm_url, timeout=10.0, trust_env=False)

    async def close(self) -> None:
        """Close the connection."""
        await self._llm.aclose()

    async def listed(self) -> list[dict[str, Any]]:
        """Return all faults as the service shows them; without the LLM server its faults count as off."""
        try:
            answer = await self._llm.get("/faults")
            left = {each["name"]: float(each["seconds_left"]) for each in answer.json()}
        except (httpx.HTTPError, ValueError, LookupError, TypeError):
            left = {}
        now = time.time()
        return [
            self._described(fault, now + left[fault.name] if left.get(fault.name) else None)
            for fault in CATALOGUE.values()
        ]

    async def start(self, name: str, seconds: float) -> dict[str, Any]:
        """Switch a fault on and return how it stands; raises ``FaultRefused``."""
        fault = _known(name)
        if fault.place == "command":
            raise FaultRefused(409, f"{name} is no fault of the service: genai-exporter demo fault {name} provokes it")
        if fault.place == "llm":
            await self._tell_llm("PUT", fault, {"for_seconds": seconds, **fault.parameters})
            return self._described(fault, time.time() + seconds)
        if name == "worker_killed":
            asyncio.get_running_loop().call_later(_ANSWERS_FIRST_SECONDS, os.kill, os.getpid(), signal.SIGKILL)
            return self._described(fault, None)
        self._state.start(name, seconds)
        return self._described(fault, None)

    async def stop(self, name: str) -> dict[str, Any]:
        """Switch a fault off and return how it stands; raises ``FaultRefused``."""
        fault = _known(name)
        if fault.place == "llm":
            await self._tell_llm("DELETE", fault, None)
        elif fault.place == "service":
            self._state.stop(name)
        return self._described(fault, None)

    async def _tell_llm(self, method: str, fault: Fault, body: Any) -> None:
        try:
            answer = await self._llm.request(method, f"/faults/{fault.name}", json=body)
        except httpx.HTTPError as error:
            reason = f"{fault.name} is provoked at {self._settings.llm_url}, which does not answer: {error!r}"
            raise FaultRefused(502, reason) from None
        if answer.is_error:
            raise FaultRefused(502, f"{self._settings.llm_url} refuses {fault.name}: {answer.text}")

    def _described(self, fault: Fault, until: float | None) -> dict[str, Any]:
        until = self._state.until(fault.name) if until is None else until
        return {
            "name": fault.name,
            "description": fault.description,
            "alert": "/".join(fault.alerts) or None,
            "follows": dict(fault.follows),
            "how_long_until_it_shows": fault.shows_after_seconds,
            "active_until": until,
            "place": fault.place,
        }


def _known(name: str) -> Fault:
    if name not in CATALOGUE:
        raise FaultRefused(404, f"there is no fault {name}; there are {', '.join(CATALOGUE)}")
    return CATALOGUE[name]
