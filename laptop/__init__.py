"""The whole system on one machine: secrets, processes, progress and the summary of `make run`.

Starts every part as a user would, by its command, and imports none of them.
"""
