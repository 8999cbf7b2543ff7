"""The cluster of docker-compose.yaml without Docker: `make cluster`.

Celery, Redis, PostgreSQL or MariaDB, and each of Airflow's parts as a process of its own; users
with roles, task logs in S3. Stands on the laptop's frame and imports no part that it starts.
"""
