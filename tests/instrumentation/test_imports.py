"""Tests of what importing the package does: little."""

import inspect
from collections.abc import Callable

import pytest

import genai_metrics

HEAVY = (
    "asyncio",
    "genai_prices",
    "httpx",
    "multiprocessing",
    "numpy",
    "openai",
    "opentelemetry",
    "psutil",
    "pydantic",
    "pydantic_core",
    "requests",
    "starlette",
    "uvicorn",
    "yaml",
)


def loaded(run_python: Callable[..., str], statement: str) -> set[str]:
    """Top-level modules in ``sys.modules`` after a statement in a fresh interpreter."""
    out = run_python(f"import sys\n{statement}\nprint(*(name.partition('.')[0] for name in sys.modules))")
    return set(out.split())


class TestImport:
    """``import genai_metrics``."""

    @pytest.mark.parametrize(
        "statement",
        [
            "import genai_metrics",
            "import genai_metrics as g; g.configure(); g.asgi_app(); g.wsgi_app(); g.llm_call_in_flight().__enter__()",
            "import genai_metrics as g; g.configure(pricing=False); g.track_llm_call(model='gpt-4', input_tokens=1)",
        ],
    )
    def test_loads_nothing_heavy(self, run_python: Callable[..., str], statement: str) -> None:
        """Neither importing nor recording without prices needs more than the standard library's light modules."""
        modules = loaded(run_python, statement)
        assert "genai_metrics" in modules
        assert modules & set(HEAVY) == set()

    def test_needs_prometheus_client_and_nothing_else(self, run_python: Callable[..., str]) -> None:
        """All that is loaded comes with Python, prometheus_client or ourselves."""
        out = run_python(
            """
            import sys
            before = set(sys.modules)
            import genai_metrics
            found = {name.partition(".")[0] for name in set(sys.modules) - before}
            print(*sorted(found - sys.stdlib_module_names - {"genai_metrics", "prometheus_client"}))
            """
        )
        assert out.split() == []

    def test_has_no_effects(self, run_python: Callable[..., str]) -> None:
        """No thread, no file, no collector, no look at the environment, no fork hook before the first record."""
        run_python(
            """
            import os, sys, threading

            def forbidden(*_, **__):
                raise AssertionError("importing must not do this")

            descriptors = set(os.listdir("/proc/self/fd"))
            import logging, prometheus_client  # these do some of that
            os.register_at_fork = os.environ.get = os.getenv = forbidden
            import genai_metrics
            assert threading.active_count() == 1
            assert set(os.listdir("/proc/self/fd")) == descriptors
            names = [type(c).__name__ for c in prometheus_client.REGISTRY._collector_to_names]
            assert "BlockCollector" not in names
            """
        )

    def test_never_imports_the_exporter(self, run_python: Callable[..., str]) -> None:
        """The dependency goes from the exporter to the instrumentation, never back."""
        modules = loaded(
            run_python,
            "import importlib, pkgutil, genai_metrics\n"
            "for module in pkgutil.iter_modules(genai_metrics.__path__):\n"
            "    if module.name not in ('integrations', 'pytest_plugin'):\n"
            "        importlib.import_module(f'genai_metrics.{module.name}')",
        )
        assert "genai_metrics" in modules
        assert not modules & {"genai_exporter", "genai_dashboards", "genai_stack"}


class TestPublicNames:
    """``__all__``."""

    def test_all_is_all(self) -> None:
        """Every public name is listed, every listed name exists, in order."""
        public = {n for n, v in vars(genai_metrics).items() if not n.startswith("_") and not inspect.ismodule(v)}
        assert set(genai_metrics.__all__) == public
        assert genai_metrics.__all__ == sorted(genai_metrics.__all__)

    @pytest.mark.parametrize("name", genai_metrics.__all__)
    def test_documented(self, name: str) -> None:
        """Each has a docstring."""
        assert inspect.getdoc(getattr(genai_metrics, name))
