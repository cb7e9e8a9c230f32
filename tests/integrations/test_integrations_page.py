"""The page on integrations: its examples run."""

import asyncio
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import litellm
import pytest

from genai_metrics.testing import sample

PAGE = Path(__file__).parents[2] / "docs" / "integrations.md"
EXAMPLES = re.findall(r"## (\w+)[^\n]*\n.*?```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture(autouse=True)
def callbacks() -> Iterator[None]:
    """LiteLLM's lists of callbacks, as they were."""
    lists = {name: list(value) for name, value in vars(litellm).items() if name.endswith(("callback", "callbacks"))}
    yield
    for name, value in lists.items():
        getattr(litellm, name)[:] = value


def test_each_integration_has_an_example() -> None:
    """One section, one example each."""
    assert [name for name, _ in EXAMPLES] == ["LiteLLM", "LangChain", "FastAPI", "OpenTelemetry"]


@pytest.mark.filterwarnings("ignore")  # LiteLLM makes pydantic warn of its own types
@pytest.mark.parametrize(("name", "source"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_examples_record_a_call(name: str, source: str) -> None:
    """As they stand on the page."""
    scope: dict[str, object] = {}
    exec(compile(source, name, "exec"), scope)
    if name == "FastAPI":

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(scope["app"])  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.get("/chat/ann", headers={"x-tenant": "acme"})

        assert asyncio.run(ask()).json() == "Hello"
        assert sample("genai_tenant_requests_total", tenant="acme", mode="/chat/{name}") == 1
    deadline = time.monotonic() + 20
    while sample("genai_llm_calls_total") != 1:
        assert time.monotonic() < deadline
        time.sleep(0.01)
