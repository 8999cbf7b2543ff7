"""Checks data before readers see it. Knows the tables' promises; not how they are filled.

One module per table, each with one ``suite()``. ``check`` runs them, ``results`` keeps what they
found, ``docs`` shows it. Great Expectations takes five seconds to import, so it is imported inside
functions only: importing this package costs nothing.
"""

import logging

from expectations.check import CheckFailed, CheckResult, check_batch, check_marts

# Before its import: that alone logs six hundred lines of its own affairs at INFO.
logging.getLogger("great_expectations").setLevel(logging.WARNING)

__all__ = ["CheckFailed", "CheckResult", "check_batch", "check_marts"]
