"""The static site that people open: numbers, answers, costs, docs, one index. Only reads."""

from dashboard.builder import build

__all__ = ["build"]
