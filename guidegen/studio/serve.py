"""Runs the studio on an address of this machine until it is stopped."""

import errno
import ipaddress
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

from guidegen.errors import ConfigError, OutputError
from guidegen.runs.store import check_writable, is_picture
from guidegen.utils.locks import locked

LOCAL = "127.0.0.1"
PORT = 7878
_NEEDED = ("starlette", "uvicorn", "sse_starlette")
# Seconds that requests get to end once the studio is to stop.
_GRACE = 3


def require() -> None:
    """Refuse early where what the studio needs is not installed.

    Raises:
        ConfigError: it is not; says how to get it.
    """
    if any(find_spec(name) is None for name in _NEEDED):
        raise ConfigError("the studio needs some packages: pip install 'guidegen[studio]'")


def serve(
    root: Path,
    *,
    port: int = PORT,
    listen: str = "",
    token: str = "",
    defaults: Mapping[str, Any] | None = None,
    opened: Callable[[str], object] = lambda address: None,
) -> None:
    """Serve the studio of a folder until Ctrl-C or SIGTERM.

    Args:
        root: the output folder.
        port: 0 takes any that is free.
        listen: address of this machine on which others may come; "" lets in nobody else.
        token: what those others have to show; "" draws one.
        defaults: RunConfig fields below those of the page.
        opened: told the page's address once it can be opened.

    Raises:
        GuidegenError: packages are missing, the port is taken, the address is none of this
            machine's, the folder can't be written, or another studio is open for it.
    """
    require()
    if is_picture(root):
        raise OutputError(f"the studio needs a folder, not a picture: {root.with_suffix('')}")
    check_writable(root)
    with _alone(root) as own, _bound(listen or LOCAL, port) as bound:
        host, port = bound.getsockname()[:2]
        token = (token or secrets.token_urlsafe(24)) if listen else ""
        name = f"[{host}]" if ":" in host else host
        address = f"http://{name}:{port}/"
        (own / "address").write_text(address, encoding="ascii")
        _run(root, bound, token, not listen, defaults, opened, address)


def _run(
    root: Path,
    bound: socket.socket,
    token: str,
    local: bool,
    defaults: Mapping[str, Any] | None,
    opened: Callable[[str], object],
    address: str,
) -> None:
    import uvicorn

    from guidegen.studio.app import make_app
    from guidegen.studio.studio import Studio

    studio = Studio(root, defaults)

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            studio.broker.close()  # else pages that listen would hold up the end
            super().handle_exit(sig, frame)

    app = make_app(studio, token=token, local=local)
    config = uvicorn.Config(
        app, log_level="critical", access_log=False, timeout_graceful_shutdown=_GRACE, lifespan="on"
    )
    opened(f"{address}?token={token}" if token else address)
    with suppress(KeyboardInterrupt):  # all is saved by then
        Server(config).run(sockets=[bound])


@contextmanager
def _alone(root: Path) -> Iterator[Path]:
    """Hold the studio's own folder.

    Raises:
        OutputError: another studio holds it; says where its page is.
    """
    own = root / ".studio"
    own.mkdir(exist_ok=True)
    try:
        with locked(own, "the studio"):
            yield own
    except OutputError as error:
        if not str(error).startswith("another guidegen"):
            raise
        address = ""
        with suppress(OSError):
            address = f" at {(own / 'address').read_text(encoding='ascii')[:200]}"
        raise OutputError(
            f"a studio is open for {root} already{address}; use that one, or another folder"
        ) from None


def _bound(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        ConfigError: the port is taken, or there is no such address here.
    """
    if not 0 <= port <= 65535:
        raise ConfigError(f"from 0 to 65535, not {port}", field="port")
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    except ValueError:
        raise ConfigError(
            f"an address of this machine like 0.0.0.0, not {host!r}", field="listen"
        ) from None
    bound = socket.socket(family)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(128)
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"{port} is taken by another program; name another, or 0 for any that is free",
                field="port",
            ) from None
        why = error.strerror or error
        field = "port" if error.errno == errno.EACCES else "listen"
        raise ConfigError(f"can't use {host}:{port}: {why}", field=field) from None
    return bound
