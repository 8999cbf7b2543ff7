"""The log API that Daylight reads, imitated: a shop's users, or a real access log, encrypted.

Knows nothing of Daylight and is imported by nothing of it; it is started as a user would start it.

    population   who visits, when, and what they do: days of events from a seed
    timeline     those events as consecutive records that appear in bursts under a clock
    replay       the same interface over a web server's access log
    key_ring     the keys, read again when their file changes
    tokens       record → plaintext → Fernet token → envelope
    faults       what goes wrong on request, by name and rate; ``*_faults`` are its five tables
    server       the HTTP API (window or cursor)
    history      the same envelopes as dump files
"""
