"""One fake LLM server for all tests that do not need options of their own; a tape of the demo under faults."""

from collections.abc import Iterator

import pytest
from fake_llm_process import FakeLlm, fake_llm
from tape import Tape, record
from timelapse import inputs

pytest.register_assert_rewrite("fault_matrix")  # it asserts for two modules, and should say what it found


@pytest.fixture(scope="module")
def tape(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tape:
    """The demo while each of the module's ``FAULTS`` comes and goes; takes minutes."""
    return record(tmp_path_factory.mktemp("tape"), request.module.FAULTS, inputs())


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
