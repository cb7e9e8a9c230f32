"""A store of its own for each test."""

import os
from collections.abc import Iterator

import pytest

from genai_metrics.testing import isolated_store

# LiteLLM would fetch its price table from the network when it is imported.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"


@pytest.fixture(autouse=True)
def store() -> Iterator[None]:
    """Keep what a test records to itself."""
    with isolated_store():
        yield
