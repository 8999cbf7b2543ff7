"""The static site that people open: metrics, data docs, dbt docs, one index. Only reads."""

from dashboard.builder import build

__all__ = ["build"]
