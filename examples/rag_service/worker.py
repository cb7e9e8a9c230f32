"""What each worker process runs: sets up recording, then makes the application."""

from fastapi import FastAPI

import genai_metrics
from rag_service.settings import Settings


def create_app() -> FastAPI:
    """Make the application of this worker, as the master has set it."""
    settings = Settings.from_environment()
    if settings.instrumented:
        genai_metrics.configure(metrics_dir=settings.metrics_dir, service_name=settings.service)
    else:
        from rag_service import uninstrumented

        uninstrumented.install()
    # Not above: it takes the functions that record by name, and those may just have been replaced.
    from rag_service.app import build

    return build(settings)
