"""pytest's fixture of ``testing``; in ``conftest.py``: ``pytest_plugins = ["genai_metrics.pytest_plugin"]``."""

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from genai_metrics.testing import isolated_store


@pytest.fixture
def genai_metrics_store() -> Iterator[CollectorRegistry]:
    """Records of this test alone, in private memory; the value is a prometheus_client registry that shows them."""
    with isolated_store() as registry:
        yield registry
