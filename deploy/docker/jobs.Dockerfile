# Durable jobs: Celery's prefork pool around the job table. The control plane's extra, another process.
# Build from the root of the repository: docker build -f deploy/docker/jobs.Dockerfile -t edgewise-jobs .
# Where packages come from is pip's own configuration; another one: --secret id=pip_conf,src=pip.conf

ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG EXTRAS=control
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
LABEL org.opencontainers.image.title="edgewise-jobs" \
    org.opencontainers.image.description="Edgewise durable jobs" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.base.name="python:3.11.14-slim-bookworm"
RUN groupadd --gid 10001 edgewise \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin edgewise \
    && install -d -m 0700 -o edgewise -g edgewise /var/lib/edgewise /run/edgewise
COPY --from=build /usr/lib/edgewise /usr/lib/edgewise
ENV PATH=/usr/lib/edgewise/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    EDGEWISE_DATA_DIR=/var/lib/edgewise \
    EDGEWISE_JOBS_READY_FILE=/run/edgewise/jobs.ready \
    EDGEWISE_LOG_FORMAT=json
USER 10001:10001
VOLUME ["/var/lib/edgewise"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-m", "edgewise.local.probe", "/run/edgewise/jobs.ready"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["edgewise"]
CMD ["jobs"]
