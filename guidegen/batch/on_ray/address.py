"""Whether somebody answers at a cluster's address, asked before Ray is, which waits a quarter hour.

Torch-free.
"""

import os
import re
import socket

from guidegen.errors import ConfigError, GuidegenError

_SECONDS = 3.0
_ADDRESS = re.compile(r"(?:ray://)?(?:\[([0-9a-fA-F:.%\w]+)\]|([^\s:/\[\]]+)):(\d{1,5})")


def parse_address(address: str) -> tuple[str, int] | None:
    """Host and port; None for "auto" and "local", which Ray finds by itself.

    Raises:
        ConfigError: it is none of these.
    """
    if address in ("auto", "local"):
        return None
    match = _ADDRESS.fullmatch(address)
    if match is None or not 0 < int(match[3]) < 65536:
        raise ConfigError(
            f"{address!r} is no address; write auto, or HOST:PORT as ray start printed it",
            field="address",
        )
    return match[1] or match[2], int(match[3])


def check_address(address: str | None) -> None:
    """Knock at the address of a cluster.

    Args:
        address: as `--address` has it; None starts a cluster on this machine.

    Raises:
        ConfigError: it is no address.
        GuidegenError: nobody answers within seconds.
    """
    if address == "auto":  # Ray looks there first
        address = os.environ.get("RAY_ADDRESS") or address
    place = parse_address(address) if address else None
    if place is None:
        return
    try:
        socket.create_connection(place, timeout=_SECONDS).close()
    except OSError as error:
        why = error.strerror or str(error)
        raise GuidegenError(
            f"no Ray cluster at {address}: {why}; is it running (ray status), and is the port open?"
        ) from None
