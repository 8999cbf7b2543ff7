"""Holds the engine to real Trino: one corpus, Trino's stored answers, ours, and what differs."""
