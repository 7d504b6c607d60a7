"""Requests read within bounds, and errors told as the page shows them."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from guidegen.errors import ConfigError, GuidegenError, InputImageError
from guidegen.studio.form import errors_of
from guidegen.studio.studio import Studio
from guidegen.utils.parse import parse_json

MAX_JSON = 12 << 20
Handler = Callable[[Request], Awaitable[Response]]


async def body(request: Request, limit: int) -> bytes:
    """The body of a request.

    Raises:
        InputImageError: it is longer than `limit` bytes.
    """
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise InputImageError(f"that is more than the {limit >> 20} MiB that can be sent")
        parts.append(part)
    return b"".join(parts)


async def json_body(request: Request) -> dict[str, Any]:
    """The object that a request sends.

    Raises:
        ConfigError: it sends none.
    """
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise ConfigError("send JSON, as application/json")
    try:
        data = parse_json(await body(request, MAX_JSON))
    except ValueError as error:
        raise ConfigError(f"that is no JSON: {error}") from None
    if not isinstance(data, dict):
        raise ConfigError("send a JSON object")
    return data


def fields_of(data: dict[str, Any]) -> dict[str, Any]:
    """The settings in what a request sends.

    Raises:
        ConfigError: there are none.
    """
    fields = data.get("fields", {})
    if not isinstance(fields, dict):
        raise ConfigError("fields is an object of settings")
    return fields


def whole(value: object, name: str, default: int) -> int:
    """A whole number of a request.

    Raises:
        ConfigError: it is none.
    """
    if value is None or value == "":
        return default
    try:
        return int(cast(Any, value))
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"a whole number, not {value!r}", field=name) from None


def studio_of(request: Request) -> Studio:
    """The studio that a request is for."""
    return cast(Studio, request.app.state.studio)


async def tell(request: Request, error: Exception) -> Response:
    """An error as JSON: 404 where something is not there, 422 where something is wrong."""
    assert isinstance(error, GuidegenError)
    status = 404 if isinstance(error, InputImageError) and request.method == "GET" else 422
    return JSONResponse({"errors": errors_of(error)}, status)
