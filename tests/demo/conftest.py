"""One fake LLM server for all tests that do not need options of their own."""

from collections.abc import Iterator

import pytest
from fake_llm_process import FakeLlm, fake_llm


@pytest.fixture(scope="session")
def shared_llm() -> Iterator[FakeLlm]:
    """The server; it does not wait, and has no background errors."""
    with fake_llm() as server:
        yield server


@pytest.fixture
def llm(shared_llm: FakeLlm) -> Iterator[FakeLlm]:
    """The same with an empty ledger and without faults; its prompt cache knows what earlier tests have sent."""
    shared_llm.accounts()  # what an earlier test has left under way must not come after the new beginning
    shared_llm.clear()
    yield shared_llm
    shared_llm.stop_faults()
