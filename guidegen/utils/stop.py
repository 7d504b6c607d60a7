"""Asking a run to stop, from another thread, a signal handler or the loop's own consumer."""


class Stop:
    """Whether a stop was asked for. Only ever goes from no to yes; the first reason stays.

    Attributes:
        reason: why, in a few words; "" while nobody asked.
        signal: number of the signal that asked; 0 where it was none.
    """

    def __init__(self) -> None:
        self.reason = ""
        self.signal = 0

    def __bool__(self) -> bool:
        return bool(self.reason)

    def set(self, reason: str = "stopped", *, signal: int = 0) -> None:
        """Ask for a stop after the step at hand; may be called from any thread."""
        if not self.reason:
            self.signal = signal
            self.reason = reason or "stopped"
