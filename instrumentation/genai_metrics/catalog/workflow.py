"""Metrics of workflows, their stages, answer quality and feedback."""

from genai_metrics.catalog.model import BlockKind, MetricSpec

# Workflows: from a cached answer to a refinement loop or an agent that runs for minutes.
WORKFLOW_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
# First content that the user sees; hosted models start within 0.2-1 s, retrieval and reranking come before.
FIRST_CONTENT_SECONDS = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0)
# Stages: from formatting (about a millisecond) to inference and loading of large documents.
OPERATION_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
TOOL_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
RETRIEVAL_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
RETRIEVAL_RESULTS = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
REFINEMENT_ITERATIONS = (1.0, 2.0, 3.0, 5.0, 8.0)
SCORES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

WORKFLOW = BlockKind(
    "workflow",
    (
        MetricSpec(
            "genai_workflow_duration_seconds",
            "histogram",
            "Duration of workflows, requests as the user sees them. cache: whether a response cache answered.",
            ("mode", "outcome", "cache"),
            buckets=WORKFLOW_SECONDS,
        ),
    ),
)

WORKFLOW_IN_FLIGHT = BlockKind(
    "workflow_in_flight",
    (MetricSpec("genai_workflow_in_flight", "gauge", "Workflows begun and not yet ended.", ("mode",)),),
    merge="live_sum",
)

WORKFLOW_ERROR = BlockKind(
    "workflow_error",
    (
        MetricSpec(
            "genai_workflow_errors_total",
            "counter",
            "Workflows that ended with an exception, by its class.",
            ("mode", "error_type"),
            source="OpenTelemetry semantic conventions, error.type",
        ),
    ),
)

AGENT_RUN = BlockKind(
    "agent_run",
    (
        MetricSpec(
            "genai_workflow_agent_runs_total", "counter", "Workflows run by an agent, by outcome.", ("agent", "outcome")
        ),
    ),
)

WORKFLOW_ITERATIONS = BlockKind(
    "workflow_iterations",
    (
        MetricSpec(
            "genai_workflow_iterations",
            "histogram",
            "Iterations of refinement loops until the answer was accepted or given up.",
            ("mode",),
            buckets=REFINEMENT_ITERATIONS,
        ),
    ),
)

FIRST_PASS = BlockKind(
    "first_pass",
    (
        MetricSpec(
            "genai_workflow_first_pass_total",
            "counter",
            "Workflows whose first answer was evaluated, by whether it was accepted.",
            ("mode",),
            split=("accepted", ("true", "false")),
        ),
    ),
)

FIRST_CONTENT = BlockKind(
    "first_content",
    (
        MetricSpec(
            "genai_workflow_time_to_first_content_seconds",
            "histogram",
            "Time from the start of a workflow to the first content that the user sees.",
            ("mode",),
            buckets=FIRST_CONTENT_SECONDS,
        ),
    ),
)

OPERATION = BlockKind(
    "operation",
    (
        MetricSpec(
            "genai_operation_duration_seconds",
            "histogram",
            "Duration of the stages of a pipeline.",
            ("operation", "outcome"),
            buckets=OPERATION_SECONDS,
        ),
    ),
)

OPERATION_MEMORY = BlockKind(
    "operation_memory",
    (
        MetricSpec(
            "genai_operation_memory_delta_bytes",
            "gauge",
            "Change of the process's resident memory during the stage's last run that was asked to measure it.",
            ("operation",),
        ),
    ),
    merge="live_latest",
)

TOOL = BlockKind(
    "tool",
    (
        MetricSpec(
            "genai_tool_duration_seconds",
            "histogram",
            "Duration of tool calls.",
            ("tool", "outcome"),
            buckets=TOOL_SECONDS,
        ),
    ),
)

RETRIEVAL = BlockKind(
    "retrieval",
    (
        MetricSpec(
            "genai_retrieval_duration_seconds",
            "histogram",
            "Duration of retrievals.",
            ("source", "outcome"),
            buckets=RETRIEVAL_SECONDS,
        ),
    ),
)

RETRIEVAL_RESULT = BlockKind(
    "retrieval_result",
    (
        MetricSpec(
            "genai_retrieval_results",
            "histogram",
            "Number of results that a retrieval returned.",
            ("source",),
            buckets=RETRIEVAL_RESULTS,
        ),
    ),
)

QUALITY = BlockKind(
    "quality",
    (
        MetricSpec(
            "genai_quality_score",
            "histogram",
            "Scores of answers, scaled to 0-1.",
            ("mode", "evaluator"),
            buckets=SCORES,
        ),
        MetricSpec(
            "genai_quality_below_threshold_total",
            "counter",
            "Scores below the threshold of the answer's priority.",
            ("mode", "evaluator"),
        ),
    ),
)

FEEDBACK = BlockKind(
    "feedback",
    (
        MetricSpec(
            "genai_feedback_total",
            "counter",
            "Ratings that users gave.",
            ("mode",),
            split=("rating", ("up", "down")),
        ),
    ),
)

SATISFACTION = BlockKind(
    "satisfaction",
    (
        MetricSpec(
            "genai_user_satisfaction",
            "histogram",
            "Satisfaction that users stated, scaled to 0-1.",
            ("mode",),
            buckets=SCORES,
        ),
    ),
)

DEGRADATION = BlockKind(
    "degradation",
    (
        MetricSpec(
            "genai_degradations_total", "counter", "Answers given in a degraded way, by reason.", ("mode", "reason")
        ),
    ),
)

WARNING = BlockKind(
    "warning",
    (MetricSpec("genai_warnings_total", "counter", "Warnings of the application, by kind.", ("mode", "kind")),),
)

WORKFLOW_KINDS = (
    WORKFLOW,
    WORKFLOW_IN_FLIGHT,
    WORKFLOW_ERROR,
    AGENT_RUN,
    WORKFLOW_ITERATIONS,
    FIRST_PASS,
    FIRST_CONTENT,
    OPERATION,
    OPERATION_MEMORY,
    TOOL,
    RETRIEVAL,
    RETRIEVAL_RESULT,
    QUALITY,
    FEEDBACK,
    SATISFACTION,
    DEGRADATION,
    WARNING,
)
