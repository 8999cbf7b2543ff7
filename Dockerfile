# Two images: `airflow` (also the simulator) and `local_aws`. Nothing in them is secret.

FROM python:3.12-slim-bookworm AS base
# A fixed number, so that the owner of a volume is known; Airflow's own images use the same one.
RUN useradd --uid 50000 --user-group --no-create-home --home-dir /opt/airflow daylight
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1

FROM base AS builder
RUN pip install --no-cache-dir --target /opt/uv uv
# Bytecode is compiled here once, because at run time nobody may write next to the code.
ENV UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_COMPILE_BYTECODE=1 UV_NO_CACHE=1

FROM builder AS project_environment
RUN /opt/uv/bin/uv venv -q -p /usr/local/bin/python3.12 /opt/environment
COPY requirements.lock /tmp/
RUN /opt/uv/bin/uv pip sync -q -p /opt/environment --require-hashes /tmp/requirements.lock

FROM base AS kernel
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev
COPY ingestion/kernel.c /tmp/
RUN gcc -O3 -fPIC -shared -o /tmp/libkernel.so /tmp/kernel.c -lm

FROM builder AS local_aws_environment
RUN /opt/uv/bin/uv venv -q -p /usr/local/bin/python3.12 /opt/environment
COPY local_aws/requirements.lock /tmp/
RUN /opt/uv/bin/uv pip sync -q -p /opt/environment --require-hashes /tmp/requirements.lock

FROM base AS local_aws
COPY --from=local_aws_environment /opt/environment /opt/environment
COPY local_aws /opt/daylight/local_aws
ENV PATH=/opt/environment/bin:$PATH
RUN install -d -o daylight -g daylight /opt/lake
WORKDIR /opt/daylight
USER daylight
CMD ["python", "-m", "local_aws", "--data", "/opt/lake", "--port", "4566"]

FROM base AS airflow
# For DAGs from a Git repository (DAGS_REPOSITORY).
RUN apt-get update && apt-get install -y --no-install-recommends git && rm -rf /var/lib/apt/lists/*
COPY --from=project_environment /opt/environment /opt/environment
COPY . /opt/daylight
COPY --from=kernel /tmp/libkernel.so /opt/daylight/ingestion/
ENV PATH=/opt/environment/bin:$PATH \
    PYTHONPATH=/opt/daylight:/opt/daylight/laptop/preload \
    AIRFLOW_HOME=/opt/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/daylight/dags \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    AIRFLOW__USAGE_DATA_COLLECTION__ENABLED=False \
    AIRFLOW__COSMOS__ENABLE_TELEMETRY=False \
    AIRFLOW__COSMOS__CACHE_DIR=/opt/airflow/cosmos \
    DBT_PROFILES_DIR=/opt/daylight/dbt_project \
    DBT_LOG_PATH=/tmp/dbt_logs \
    DBT_SEND_ANONYMOUS_USAGE_STATS=false \
    DO_NOT_TRACK=1
# Cosmos draws the tasks from the manifest; it belongs to the code, so it is baked with it. Workers
# parse once more at their start, for the tasks that they fork, and dbt writes what it has parsed.
RUN dbt parse -q --target prod --project-dir /opt/daylight/dbt_project \
 && rm -rf /tmp/dbt_logs \
 && chown -R daylight:daylight /opt/daylight/dbt_project/target \
 && install -d -o daylight -g daylight /opt/airflow /opt/airflow/logs
WORKDIR /opt/daylight
USER daylight
