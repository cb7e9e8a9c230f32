"""The demo's services in a native run: models, the service that is monitored, and people who ask it."""

import json
import sys
from pathlib import Path

from genai_stack import REPOSITORY
from genai_stack.children import Service
from genai_stack.layout import Layout

SERVICE = "rag"
"""Value of the label ``service``; Compose says the same."""

WORKERS = 2


def prepare(layout: Layout) -> None:
    """Say where the demo is, for ``genai-exporter demo``."""
    told = {"url": layout.url("rag").rstrip("/"), "metrics_dir": str(layout.metrics)}
    (layout.run / "demo.json").write_text(json.dumps(told) + "\n")


def forget(run: Path) -> None:
    """Let ``genai-exporter demo`` look at the usual address again, where a demo in containers is."""
    (run / "demo.json").unlink(missing_ok=True)


def option(layout: Layout) -> str:
    """Return what ``genai-exporter demo`` must be told to find this run: nothing where it looks by itself."""
    return "" if layout.run == REPOSITORY / ".run" else f" --url {layout.url('rag').rstrip('/')}"


def services(layout: Layout) -> list[Service]:
    """Return the demo's services."""
    return [
        Service(
            "llm",
            (sys.executable, "-m", "fake_llm", f"--listen={layout.address('llm')}"),
            ready_url=layout.url("llm") + "ledger",
        ),
        Service(
            "rag",
            (
                sys.executable,
                "-m",
                "rag_service",
                f"--listen={layout.address('rag')}",
                f"--workers={WORKERS}",
                f"--llm-url={layout.url('llm').rstrip('/')}",
                f"--metrics-dir={layout.metrics}",
                f"--service={SERVICE}",
                f"--state={layout.run / 'faults.json'}",
            ),
            ready_url=layout.url("rag") + "healthz",
        ),
        Service(
            "load",
            (sys.executable, "-m", "load_scenarios", "daily", f"--host={layout.url('rag').rstrip('/')}"),
        ),
    ]
