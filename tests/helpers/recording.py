"""Steps shown to recorders, as the engine does it."""

from guidegen.recorders import Recording


def record(steps, recorders):
    """Yield every step after the recorders saw it; closes them on any exit."""
    with Recording(recorders) as recording:
        for step in steps:
            recording(step)
            yield step
