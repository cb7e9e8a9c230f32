"""What one service is told, and how it tells its workers. Imports the standard library only."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

VARIABLE = "RAG_SERVICE_SETTINGS"
"""Environment variable in which the master hands the settings to its workers."""


@dataclass(frozen=True)
class Settings:
    """Settings of the service.

    ``llm_url``: base address of both providers' APIs. ``state``: file in which all workers see which faults are on.
    ``metrics_dir``: directory shared with the exporter; ``None`` keeps the metrics in the workers. ``speed`` divides
    the time that stand-ins of databases take. ``time_lapse``: so many times as fast happens what goes by the
    clock, such as the expiry of answers; for a rehearsal with so many times the requests. ``errors``: share of
    tool calls and of retrievals that fail by themselves. ``agent_steps``: an agent gives up after so many calls of
    the model. ``instrumented``: without it nothing is recorded, to compare with.
    """

    llm_url: str
    state: Path
    metrics_dir: Path | None = None
    service: str = "rag"
    workers: int = 2
    speed: float = 1.0
    time_lapse: float = 1.0
    errors: float = 0.004
    agent_steps: int = 6
    instrumented: bool = True

    def to_environment(self) -> None:
        """Hand these settings to processes started from now on."""
        os.environ[VARIABLE] = json.dumps(asdict(self), default=str)

    @classmethod
    def from_environment(cls) -> Self:
        """Read what the master has set."""
        told = json.loads(os.environ[VARIABLE])
        metrics_dir = told.pop("metrics_dir")
        state = Path(told.pop("state"))
        return cls(**told, state=state, metrics_dir=None if metrics_dir is None else Path(metrics_dir))
