"""A store of its own for each test."""

from collections.abc import Iterator

import pytest

from genai_metrics.testing import isolated_store


@pytest.fixture(autouse=True)
def store() -> Iterator[None]:
    """Keep what a test records to itself."""
    with isolated_store():
        yield
