"""A file by plain HTTPS, going on where an earlier transfer broke off. Torch-free."""

import http.client
import json
import os
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from guidegen.errors import GuidegenError, OutputError
from guidegen.utils.parse import parse_json
from guidegen.utils.versions import own_version
from guidegen.weights.store import is_web_page

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here and those that there will be, None if nobody knows."""

_CHUNK = 1 << 20
_TIMEOUT = 60  # seconds without a byte
_ATTEMPTS = 100  # some hosts close every connection after a while
# An old part may be of another file; a server that rejects a fresh one, too, can't resume.
_REJECTIONS = 2
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Refused(Exception):
    """A source will not do; another one may."""


class _BrokenOff(Exception):
    """The transfer ended early; it can go on from there."""


def complete(url: str, part: Path, size: int | None, progress: Progress) -> None:
    """Complete the file `part`, going on from what is there.

    Args:
        url: https, or http of this machine.
        part: the file; what the server said of its version lies beside it, in `part`.json.
        size: bytes that it must have; None where nobody knows.
        progress: told how far it is.

    Raises:
        Refused: this source will not do.
        OutputError: the disk is full or can't be written.
    """
    rejected = 0
    for attempt in range(_ATTEMPTS):
        before = _length(part)
        try:
            return _transfer(url, part, size, progress)
        except Refused:
            part.unlink(missing_ok=True)
            part.with_name(f"{part.name}.json").unlink(missing_ok=True)
            raise
        except _BrokenOff as error:
            # the same again only while it brings something
            if _length(part) <= before or attempt == _ATTEMPTS - 1:
                raise Refused(f"{error}; the next pull goes on from there") from error
        except urllib.error.HTTPError as error:
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and before:
                part.unlink()  # what is here is no part of that file
                rejected += 1
                if rejected < _REJECTIONS:
                    continue
                raise Refused("breaks off, and refuses to go on from there") from error
            raise Refused(f"HTTP {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            if isinstance(error, GuidegenError):
                raise
            raise Refused(one_line(getattr(error, "reason", None) or error)) from error
    raise Refused(f"was not complete after {_ATTEMPTS} requests; the next pull goes on from there")


def _transfer(url: str, part: Path, size: int | None, progress: Progress) -> None:
    headers = {"User-Agent": f"guidegen/{own_version()}", "Accept-Encoding": "identity"}
    have = _length(part)
    if have and size == have:
        return
    validator = _validator(part)
    if have and validator:
        # the server sends the rest only if the file is still the same, else all of it
        headers |= {"Range": f"bytes={have}-", "If-Range": validator}
    _check_scheme(url)
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.build_opener(_Redirects).open(request, timeout=_TIMEOUT) as response:
        if "html" in (response.headers.get_content_type() or ""):
            raise Refused("sent a web page, not weights")
        have = have if response.status == http.HTTPStatus.PARTIAL_CONTENT else 0
        total = _total(response.headers, have)
        if size is not None and total not in (None, size):
            raise Refused(f"is {total} bytes long, not {size}")
        total = total or size
        _check_space(part.parent, (total or 0) - have)
        part.with_name(f"{part.name}.json").write_text(
            json.dumps({"validator": response.headers["ETag"] or response.headers["Last-Modified"]})
        )
        _receive(response, part, have, total, progress)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect unless it leads to where nothing is encrypted."""

    def redirect_request(
        self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: str
    ) -> Any:
        _check_scheme(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _receive(response: Any, part: Path, have: int, total: int | None, progress: Progress) -> None:
    with _opened(part, "ab" if have else "wb") as file:
        broken = ""
        while True:
            try:
                chunk = response.read1(_CHUNK)  # what there is: `read` would lose it to a stall
            except (OSError, http.client.HTTPException) as error:
                chunk, broken = b"", f" ({one_line(error)})"
            if not chunk:
                break
            if not have and is_web_page(chunk):
                raise Refused("sent a web page, not weights")
            have += len(chunk)
            if total is not None and have > total:
                raise Refused(f"sent more than {total} bytes")
            _write(file, chunk, part)
            progress(have, total)
        file.flush()
        os.fsync(file.fileno())
    if broken or (total is not None and have < total):
        raise _BrokenOff(f"broke off after {have} of {total or '?'} bytes{broken}")


def _total(headers: Mapping[str, str], have: int) -> int | None:
    """Length of the whole file, from a response that may be its rest."""
    if have:
        span, _, total = headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        if span.partition("-")[0] != str(have) or not total.isdigit():
            raise Refused("sent another part of the file than was asked for")
        return int(total)
    length = headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _check_scheme(url: str) -> None:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and (parts.scheme, parts.hostname) not in {
        ("http", host) for host in _LOOPBACK
    }:
        raise Refused("only https is used")


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            f"{folder} has room for {free / 1e9:.2f} GB, {needed / 1e9:.2f} GB are needed; "
            "set GUIDEGEN_WEIGHTS to a folder with more"
        )


def _validator(part: Path) -> str:
    with suppress(OSError, ValueError, AttributeError):
        data = parse_json(part.with_name(f"{part.name}.json").read_text())
        value = data.get("validator") or ""
        # a weak one promises no equal bytes
        return "" if value.startswith("W/") else str(value)
    return ""


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _opened(path: Path, mode: str) -> Any:
    try:
        return path.open(mode)
    except OSError as error:
        raise OutputError(f"can't write {path}: {error.strerror or error}") from error


def _write(file: Any, chunk: bytes, path: Path) -> None:
    try:
        file.write(chunk)
    except OSError as error:
        raise OutputError(f"can't write {path}: {error.strerror or error}") from error


def one_line(error: object) -> str:
    """An error in one line of bounded length."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."
