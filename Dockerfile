# syntax=docker/dockerfile:1
# The worker and the `kpi` command. Run as compose.yaml and deploy/kubernetes do: as user 10001, with a volume at /data.

FROM python:3.13-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/kpi
# dependencies alone first: they change less often than the code, and stay a layer of their own
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN mkdir kpi_app && touch kpi_app/__init__.py \
    && /opt/kpi/bin/pip install -c constraints.txt . && /opt/kpi/bin/pip uninstall -y kpi-app && rm -r kpi_app
COPY migrations/ migrations/
COPY kpi_app/ kpi_app/
RUN /opt/kpi/bin/pip install --no-deps . \
    && /opt/kpi/bin/python -m compileall -q /opt/kpi/lib \
    && /opt/kpi/bin/python -c "from kpi_app.sinks.migrate import migrations; assert migrations()"

FROM python:3.13-slim-trixie
# tini: reaps and passes signals on; a worker that gets SIGTERM saves what it has
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends tini && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 kpi && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data kpi \
    && install -d -o kpi -g kpi /data
COPY --from=build /opt/kpi /opt/kpi
# Inside a container loopback is the container: who publishes the port says on which address of the host.
ENV PATH=/opt/kpi/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    KPI_DATA_DIR=/data KPI_WEB_HOST=0.0.0.0 KPI_WEB_PORT=6066
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 6066
ENTRYPOINT ["tini", "--"]
CMD ["faust", "-A", "kpi_app", "worker", "-l", "info"]
