"""Where a native run keeps its files and what it listens on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from genai_stack.ports import HOST


@dataclass(frozen=True)
class Layout:
    """Where a native run keeps its files and what it listens on."""

    run: Path
    ports: Mapping[str, int]
    metrics: Path = field(init=False)
    logs: Path = field(init=False)

    def __post_init__(self) -> None:
        """Derive the folders from the run directory."""
        object.__setattr__(self, "metrics", self.run / "metrics")
        object.__setattr__(self, "logs", self.run / "logs")

    def address(self, name: str) -> str:
        """``host:port`` that the service listens on."""
        return f"{HOST}:{self.ports[name]}"

    def url(self, name: str) -> str:
        """Address that people and other services open."""
        return f"http://{self.address(name)}/"
