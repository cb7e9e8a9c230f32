"""What is asked and what becomes of it: the service's wire format. Imports pydantic and ``models``."""

from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, Field

from rag_service.models import Reply

Mode = Literal["1", "2", "3", "4"]


class Asked(BaseModel):
    """A question as it comes in."""

    question: str = Field(min_length=1, max_length=2000)
    tenant: str = Field(default="anonymous", min_length=1, max_length=60)
    mode: Mode = "1"
    priority: Literal["critical", "important", "normal", "low"] = "normal"
    stream: bool = False


class Feedback(BaseModel):
    """What a user says of an answer: a thumb, stars from 1 to 5, or both; and of which question's."""

    mode: Mode = "1"
    rating: Literal["up", "down"] | None = None
    satisfaction: int | None = Field(default=None, ge=1, le=5)
    question: str | None = Field(default=None, max_length=2000)


class FaultWanted(BaseModel):
    """A fault to provoke."""

    name: str
    for_seconds: float = Field(gt=0, le=86_400)


@dataclass
class Answer:
    """What becomes of a question; pipelines fill it in.

    ``outcome`` is what the service records for the workflow: ``success``, ``cached`` or ``error``.
    """

    text: str = ""
    outcome: str = "success"
    error_type: str | None = None
    agent: str | None = None
    iterations: int = 0
    quality: float | None = None
    degraded: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)

    def as_json(self, asked: Asked) -> dict[str, Any]:
        """Return the answer as the service sends it."""
        told = {name: value for name, value in vars(self).items() if name != "replies"}
        return {"mode": asked.mode, "tenant": asked.tenant, **told}
