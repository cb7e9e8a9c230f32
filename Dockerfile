# `exporter` has the wheel alone; `setup` prepares the other containers' volumes; for the demo `inbox` adds the local inbox, `demo`
# the service and its load, `history` its past. Copied files keep their modes, and a clone may be its owner's alone: hence `chmod`.

FROM python:3.11.13-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY instrumentation instrumentation
COPY exporter exporter
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11.13-slim-bookworm AS exporter
# Applications that share the metrics volume must run under this number: metric files are readable by their owner only.
ARG UID=10001
# No VOLUME: each container of each image below would leave one without a name behind. A fresh volume that is mounted here takes
# over the folder's owner and mode.
RUN useradd --uid ${UID} --no-create-home --shell /usr/sbin/nologin genai \
    && install -d -o genai -g genai -m 0700 /var/lib/genai-metrics
COPY --from=build /wheels /wheels
RUN wheel="$(ls /wheels/*.whl)" && pip install --no-cache-dir "${wheel}[exporter,prices]" && rm -r /wheels
ENV GENAI_METRICS_DIR=/var/lib/genai-metrics PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER genai
EXPOSE 9840
ENTRYPOINT ["genai-exporter"]
CMD ["serve", "--metrics-dir", "/var/lib/genai-metrics", "--web.listen-address", "0.0.0.0:9840"]

FROM exporter AS inbox
USER root
RUN pip install --no-cache-dir "aiosmtpd>=1.4.6,<2" "markdown-it-py>=3,<5"
COPY examples/inbox /opt/inbox/inbox
RUN chmod -R a+rX /opt
ENV PYTHONPATH=/opt/inbox
USER genai
EXPOSE 8025 1025
ENTRYPOINT ["python", "-m", "inbox"]
CMD ["--listen", "0.0.0.0:8025", "--smtp-listen", "0.0.0.0:1025", "--docs", "/opt/docs"]

FROM exporter AS demo
USER root
COPY --from=build /wheels /wheels
RUN wheel="$(ls /wheels/*.whl)" && pip install --no-cache-dir "${wheel}[exporter,prices,demo]" && rm -r /wheels
COPY examples/fake_llm /opt/demo/fake_llm
COPY examples/rag_service /opt/demo/rag_service
COPY examples/load_scenarios /opt/demo/load_scenarios
RUN chmod -R a+rX /opt
ENV PYTHONPATH=/opt/demo
USER genai
ENTRYPOINT ["python", "-m"]
CMD ["rag_service", "--help"]

FROM exporter AS setup
USER root
COPY stack/genai_stack /opt/setup/genai_stack
RUN chmod -R a+rX /opt
ENV PYTHONPATH=/opt/setup
USER genai
ENTRYPOINT ["python", "-m", "genai_stack.volumes"]
CMD ["--help"]

FROM setup AS history
USER root
COPY --from=prom/prometheus:v3.5.3 /bin/promtool /usr/local/bin/promtool
COPY examples/load_scenarios/__init__.py examples/load_scenarios/traffic.py /opt/setup/load_scenarios/
# A fresh named volume takes over the folder's owner, which is Prometheus's user.
RUN chmod -R a+rX /opt && install -d -o 65534 -g 65534 /prometheus
USER 65534
ENTRYPOINT ["python", "-m", "genai_stack.backfill"]
CMD ["--data", "/prometheus", "--promtool", "/usr/local/bin/promtool", "--instance", "exporter:9840"]
