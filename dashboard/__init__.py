"""The static site that people open: numbers, answers, costs, docs, one index. Only reads."""

from dashboard.builder import build, last_good_day

__all__ = ["build", "last_good_day"]
