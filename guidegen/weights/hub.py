"""Whether the hub can be reached, asked once and quickly. Torch-free.

huggingface_hub tries again for most of a minute where there is no connection, and logs every try.
"""

import logging
import os
import socket
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from guidegen.errors import WeightsError

_TIMEOUT = 10.0


def offline() -> bool:
    """Whether the hub's variables say that nothing may be fetched."""
    values = (os.environ.get(name, "") for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))
    return any(value.upper() in ("1", "ON", "YES", "TRUE") for value in values)


def require_hub(what: str) -> None:
    """Refuse to fetch where the hub can't be reached.

    Args:
        what: is to be fetched, for the message.

    Raises:
        WeightsError: HF_HUB_OFFLINE is set, or nobody answers within ten seconds.
    """
    if offline():
        raise WeightsError(f"{what} is not here, and HF_HUB_OFFLINE is set; {_INSTEAD}")
    parts = urllib.parse.urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    host = parts.hostname or "huggingface.co"
    # what a proxy can reach, only the proxy knows
    if urllib.request.getproxies().get(parts.scheme) and not urllib.request.proxy_bypass(host):
        return
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((host, port), _TIMEOUT).close()
    except OSError as error:
        why = error.strerror or str(error) or type(error).__name__
        raise WeightsError(
            f"{what} is not here, and {host} can't be reached ({why}); {_INSTEAD}"
        ) from None


_INSTEAD = (
    "copy the hub's cache (~/.cache/huggingface) from a machine that has it, or use the "
    "perceptor local-dir:FOLDER or embedded"
)


@contextmanager
def quiet_hub() -> Iterator[None]:
    """Keep huggingface_hub from logging its own retries."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
