"""Athena's SQL on DuckDB: parse, check every name and type, emit DuckDB's SQL, run it.

What is not known to mean the same here as on Athena does not get through: the parser knows
Trino's grammar only, the compiler an allow-list of functions with their signatures.
"""
