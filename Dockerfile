# Two images: `exporter` has the wheel alone, `demo` adds the replay that produces demo data.

FROM python:3.11.13-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY instrumentation instrumentation
COPY exporter exporter
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11.13-slim-bookworm AS exporter
# Applications that share the metrics volume must run under this number: metric files are readable by their owner only.
ARG UID=10001
RUN useradd --uid ${UID} --no-create-home --shell /usr/sbin/nologin genai \
    && install -d -o genai -g genai -m 0700 /var/lib/genai-metrics
COPY --from=build /wheels /wheels
RUN wheel="$(ls /wheels/*.whl)" && pip install --no-cache-dir "${wheel}[exporter,prices]" && rm -r /wheels
ENV GENAI_METRICS_DIR=/var/lib/genai-metrics PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER genai
# A fresh named volume takes over the folder's owner and mode.
VOLUME /var/lib/genai-metrics
EXPOSE 9840
ENTRYPOINT ["genai-exporter"]
CMD ["serve", "--metrics-dir", "/var/lib/genai-metrics", "--web.listen-address", "0.0.0.0:9840"]

FROM exporter AS demo
USER root
RUN pip install --no-cache-dir "rich>=13,<16"
COPY examples/replay /opt/demo/replay
ENV PYTHONPATH=/opt/demo
USER genai
ENTRYPOINT ["python", "-m", "replay"]
CMD ["--help"]
