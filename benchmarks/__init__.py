"""What `make bench` runs: Daylight's ingestion against the original's way, and against the floor.

One run, interleaved, medians of CPU time (user and system) per record: walls are noise on a
machine that others use, too. Only "two processes" is a wall, because that is what it asks.

    data        the simulator's records, encrypted, as the pages that the API would answer with
    contenders  ours, the original's way, pandas: the same pages in, files' bytes out
    floor       what has to be done with those bytes at least, by the fastest call there is
    stages      where our time goes
    child       what needs a process of its own: peak memory, two at once, the whole of `land`
    lake        35 days in a real lake: bytes per record, and bytes that a query reads
    report      the table, the JSON file, the plot, the last line
"""

import os

# As the process that decodes is started (ingestion/child.py); Arrow reads it when it is imported.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # noqa: TID251
