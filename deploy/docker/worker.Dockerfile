# A cloud worker: torch, and the reference model of the cloud tier. Mount another over it, or name it in EDGEWISE_WORKER_MODEL_DIR.
# Build from the root of the repository: docker build -f deploy/docker/worker.Dockerfile -t edgewise-worker .
# Where packages come from is pip's own configuration; another one: --secret id=pip_conf,src=pip.conf

ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG EXTRAS=worker,otel
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
LABEL org.opencontainers.image.title="edgewise-worker" \
    org.opencontainers.image.description="Edgewise cloud worker" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.base.name="python:3.11.14-slim-bookworm"
RUN groupadd --gid 10001 edgewise \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin edgewise \
    && install -d -m 0700 -o edgewise -g edgewise /var/lib/edgewise
COPY --from=build /usr/lib/edgewise /usr/lib/edgewise
COPY reference_models/cloud /usr/share/edgewise/models/cloud
ENV PATH=/usr/lib/edgewise/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    EDGEWISE_WORKER_DATA_DIR=/var/lib/edgewise \
    EDGEWISE_WORKER_MODEL_DIR=/usr/share/edgewise/models/cloud \
    EDGEWISE_LOG_FORMAT=json
USER 10001:10001
VOLUME ["/var/lib/edgewise"]
# It serves no port and ends when its engine cannot go on, so that whoever runs it starts it again; whether it is connected,
# the control plane knows (edgewise_nodes, `edgewise nodes list`).
HEALTHCHECK NONE
STOPSIGNAL SIGTERM
ENTRYPOINT ["edgewise"]
CMD ["worker"]
