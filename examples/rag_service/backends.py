"""What a worker's pipelines work with, put together once. One event loop."""

from dataclasses import dataclass

from rag_service.caches import RESPONSE_SECONDS, Caches
from rag_service.models import Models
from rag_service.quality import Evaluations
from rag_service.retrieval import Retriever
from rag_service.settings import Settings
from rag_service.state import FaultState
from rag_service.tools import Tools


@dataclass(frozen=True)
class Backends:
    """Models, texts, tools, caches, and which faults are on."""

    settings: Settings
    faults: FaultState
    caches: Caches
    models: Models
    retriever: Retriever
    evaluations: Evaluations
    tools: Tools


def connect(settings: Settings) -> Backends:
    """Put everything together; connects to nothing yet."""
    faults = FaultState(settings.state)
    caches = Caches(RESPONSE_SECONDS / settings.time_lapse)
    models = Models(settings, faults)
    return Backends(
        settings=settings,
        faults=faults,
        caches=caches,
        models=models,
        retriever=Retriever(settings, faults, caches, models),
        evaluations=Evaluations(models),
        tools=Tools(settings, faults),
    )
