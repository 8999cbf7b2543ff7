"""The one error that the simulator raises on purpose; the CLI prints it as one line."""


class SimulatorError(Exception):
    """The simulator cannot do what it was asked; the message says what to change."""
