# An edge agent: ONNX Runtime, no torch. Its endpoint listens on loopback alone: apps share its network namespace.
# Build from the root of the repository: docker build -f deploy/docker/edge.Dockerfile -t edgewise-edge .
# Where packages come from is pip's own configuration; another one: --secret id=pip_conf,src=pip.conf

ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG EXTRAS=edge,otel
ENV PIP_CACHE_DIR=/var/cache/pip PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY edgewise edgewise
COPY policies policies
COPY control_plane control_plane
COPY edge_agent edge_agent
COPY cloud_worker cloud_worker
COPY migrations migrations
RUN --mount=type=cache,target=/var/cache/pip --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    python -m venv --without-pip /usr/lib/edgewise \
    && python -m pip wheel --no-deps --wheel-dir /wheels . \
    && python -m pip --python /usr/lib/edgewise/bin/python install -c constraints.txt "$(echo /wheels/*.whl)[${EXTRAS}]"

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="edgewise-edge" \
    org.opencontainers.image.description="Edgewise edge agent" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.base.name="python:3.11.14-slim-bookworm"
RUN groupadd --gid 10001 edgewise \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin edgewise \
    && install -d -m 0700 -o edgewise -g edgewise /var/lib/edgewise
COPY --from=build /usr/lib/edgewise /usr/lib/edgewise
COPY reference_models/edge /usr/share/edgewise/models/edge
ENV PATH=/usr/lib/edgewise/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    EDGEWISE_AGENT_DATA_DIR=/var/lib/edgewise \
    EDGEWISE_AGENT_MODEL_DIR=/usr/share/edgewise/models/edge \
    EDGEWISE_LOG_FORMAT=json
USER 10001:10001
VOLUME ["/var/lib/edgewise"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-m", "edgewise.local.probe", "http://127.0.0.1:8090/healthz"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["edgewise"]
CMD ["agent"]
