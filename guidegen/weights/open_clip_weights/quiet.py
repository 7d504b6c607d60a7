"""open_clip, imported late and kept quiet."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from guidegen.errors import WeightsError
from guidegen.weights.hub import offline


def import_open_clip() -> Any:
    """The package, without its chatter."""
    with quiet():
        import open_clip  # 4 s with torch: only where it is needed
    return open_clip


@contextmanager
def quiet() -> Iterator[None]:
    """Keep open_clip's chatter down; its QuickGELU warning becomes an error."""
    root = logging.getLogger()
    others = [logging.getLogger(name) for name in ("timm", "huggingface_hub")]
    levels = [logger.level for logger in others]
    # open_clip logs on the root logger itself, which would even install a handler there
    handler = logging.NullHandler()
    root.addHandler(handler)
    root.addFilter(_nothing)
    for logger in others:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", message="QuickGELU mismatch")
            yield
    finally:
        root.removeFilter(_nothing)
        root.removeHandler(handler)
        for logger, level in zip(others, levels, strict=True):
            logger.setLevel(level)


def _nothing(record: logging.LogRecord) -> bool:
    return False


@contextmanager
def fetching(spec: str) -> Iterator[None]:
    """Turn whatever breaks a transfer into one line that says what to do."""
    try:
        yield
    except Exception as error:
        cause = "HF_HUB_OFFLINE is set" if offline() else one_line(error)
        raise WeightsError(
            f"can't fetch the weights of {spec} ({cause}); connect to huggingface.co once, or use "
            "local-dir:FOLDER or embedded"
        ) from error


def one_line(error: BaseException) -> str:
    """An error in one line of bounded length."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 240 else text[:237] + "..."
