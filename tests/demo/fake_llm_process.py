"""A real ``python -m fake_llm`` for tests, on a free loopback port, and clients of the real libraries for it."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from anthropic import Anthropic, AsyncAnthropic
from openai import AsyncOpenAI, OpenAI
from servers import end, get, wait_for


class FakeLlm:
    """A server that runs; ``url`` is where."""

    def __init__(self, url: str, process: "subprocess.Popen[str]") -> None:
        self.url = url
        self.process = process

    def openai(self, **options: Any) -> OpenAI:
        """A client of the real library, without retries."""
        return OpenAI(**{"base_url": f"{self.url}/openai/v1", "api_key": "key", "max_retries": 0} | options)

    def async_openai(self, **options: Any) -> AsyncOpenAI:
        """The same, asynchronous."""
        return AsyncOpenAI(**{"base_url": f"{self.url}/openai/v1", "api_key": "key", "max_retries": 0} | options)

    def anthropic(self, **options: Any) -> Anthropic:
        """A client of the real library, without retries."""
        return Anthropic(**{"base_url": f"{self.url}/anthropic", "api_key": "key", "max_retries": 0} | options)

    def async_anthropic(self, **options: Any) -> AsyncAnthropic:
        """The same, asynchronous."""
        return AsyncAnthropic(**{"base_url": f"{self.url}/anthropic", "api_key": "key", "max_retries": 0} | options)

    def accounts(self) -> dict[str, Any]:
        """The ledger, as soon as no request is under way: a client may be done before the server has seen it go."""

        def settled() -> dict[str, Any] | None:
            models: dict[str, Any] = json.loads(get(f"{self.url}/ledger"))["models"]
            return None if any(account["in_flight"] for account in models.values()) else models

        return wait_for("a settled ledger", settled)

    def account(self, model: str) -> Any:
        """The ledger's account of ``provider/model``."""
        return self.accounts()[model]

    def set_fault(self, name: str, **parameters: Any) -> None:
        """Switch a fault on, for an hour unless told otherwise."""
        self.request("PUT", f"/faults/{name}", {"for_seconds": 3600, **parameters})

    def stop_faults(self) -> None:
        """Switch all faults off."""
        self.request("DELETE", "/faults")

    def clear(self) -> None:
        """Begin a new ledger, without faults."""
        self.stop_faults()
        self.request("DELETE", "/ledger")

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request that must succeed and return the JSON that is answered, if any."""
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data, method=method), timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None


@contextmanager
def fake_llm(*options: str) -> Iterator[FakeLlm]:
    """Run a server with these options: without background errors, and without waiting, unless they say otherwise."""
    command = [sys.executable, "-m", "fake_llm", "--listen", "127.0.0.1:0", "--speed", "0", "--errors", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield FakeLlm(process.stdout.readline().split()[-1], process)
        finally:
            end(process)  # type: ignore[arg-type]
