"""Stages of a pipeline: operations, tool calls, retrievals. Context managers, decorators, sync and async.

Exceptions go on unchanged and make the outcome ``error``. No method raises.
"""

from genai_metrics import runtime
from genai_metrics.catalog import OPERATION, OPERATION_MEMORY, RETRIEVAL, RETRIEVAL_RESULT, TOOL
from genai_metrics.observations import observe, set_gauge
from genai_metrics.spans import Span

DOCUMENT_RETRIEVAL = "document_retrieval"
EMBEDDING_GENERATION = "embedding_generation"
RERANKING = "reranking"
LLM_INFERENCE = "llm_inference"
QUERY_PROCESSING = "query_processing"
QUERY_ENHANCEMENT = "query_enhancement"
RESPONSE_FORMATTING = "response_formatting"
PDF_LOADING = "pdf_loading"
SEMANTIC_CHUNKING = "semantic_chunking"


class operation(Span):  # read as a verb: with operation(...)
    """One stage: ``with operation(RERANKING):`` or ``@operation("my_stage")``.

    ``name``: one of the constants of this module or your own. ``memory``: also record how much resident memory the
    process gained or lost meanwhile, whatever else it did; costs some 20 µs on Linux; nothing is recorded elsewhere.
    """

    def __init__(self, name: str, *, memory: bool = False) -> None:
        self._name = name
        self._memory = memory
        self._resident: int | None = None

    def _begin(self) -> None:
        if self._memory:
            self._resident = resident_bytes()

    def _end(self, seconds: float, error: BaseException | None) -> None:
        observe(OPERATION, (self._name, _outcome(error)), seconds, name="duration")
        if self._memory and self._resident is not None:
            now = resident_bytes()
            if now is not None:
                set_gauge(OPERATION_MEMORY, (self._name,), now - self._resident, name="memory")


class tool_call(Span):
    """One call of a tool: ``with tool_call("search"):`` or ``@tool_call("search")``."""

    def __init__(self, name: str) -> None:
        self._name = name

    def _end(self, seconds: float, error: BaseException | None) -> None:
        observe(TOOL, (self._name, _outcome(error)), seconds, name="duration")


class retrieval(Span):
    """One retrieval from a source: ``with retrieval("wiki") as found: found.results(len(documents))``."""

    def __init__(self, source: str) -> None:
        self._source = source

    def results(self, number: int) -> None:
        """Say how many results there were."""
        try:
            observe(RETRIEVAL_RESULT, (self._source,), number, name="results")
        except Exception as error:
            runtime.internal_fault(error)

    def _end(self, seconds: float, error: BaseException | None) -> None:
        observe(RETRIEVAL, (self._source, _outcome(error)), seconds, name="duration")


def resident_bytes() -> int | None:
    """Return this process's resident memory in bytes from ``/proc/self/statm``; ``None`` where there is none."""
    import resource

    try:
        with open("/proc/self/statm", "rb", buffering=0) as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return None


def _outcome(error: BaseException | None) -> str:
    return "success" if error is None else "error"
