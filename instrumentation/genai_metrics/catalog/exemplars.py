"""Which histograms have exemplars: those of how long a user or a caller waited, whose slow cases a trace explains."""

from genai_metrics.catalog.llm import LLM_CALL
from genai_metrics.catalog.model import exemplars_of
from genai_metrics.catalog.workflow import WORKFLOW

LLM_CALL_EXEMPLARS = exemplars_of(LLM_CALL, "genai_llm_call_duration_seconds")
WORKFLOW_EXEMPLARS = exemplars_of(WORKFLOW, "genai_workflow_duration_seconds")

EXEMPLAR_KINDS = (LLM_CALL_EXEMPLARS, WORKFLOW_EXEMPLARS)
"""Every kind of block with exemplars."""
