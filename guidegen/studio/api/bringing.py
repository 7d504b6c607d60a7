"""Bringing: pictures that are dropped on the page, lists, and grids."""

import asyncio
from contextlib import suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from guidegen.batch.prompt_list import PromptListError
from guidegen.errors import ConfigError, GuidegenError, InputImageError
from guidegen.media.decode import decode
from guidegen.runs import metadata
from guidegen.runs.store import IMAGE
from guidegen.studio import form
from guidegen.studio.places import MAX_UPLOAD
from guidegen.studio.queue.lists import MAX_LIST, keep_list, open_grid, open_list
from guidegen.studio.requests import body, fields_of, json_body, studio_of, whole
from guidegen.studio.runs.thumbnails import thumbnail
from guidegen.studio.studio import Studio

_MOST_LABELS = 200


async def upload(request: Request) -> Response:
    """Take a picture; tells its size, and its settings where it has any."""
    data = await body(request, MAX_UPLOAD)
    return JSONResponse(await asyncio.to_thread(_taken, studio_of(request), data), 201)


def _taken(studio: Studio, data: bytes) -> dict[str, Any]:
    name = studio.places.keep(data)
    path = studio.places.brought(name)
    width, height = decode(path, "picture").size
    found: dict[str, Any] = {"id": name, "width": width, "height": height, "settings": None}
    with suppress(InputImageError):
        record = metadata.read(path)
        found["settings"] = record.config.model_dump(mode="json", exclude={"out"})
        found["version"] = record.version
    return found


async def picture(request: Request) -> Response:
    """A small version of a picture that was brought."""
    studio = studio_of(request)
    path = studio.places.brought(request.path_params["id"])
    data = await asyncio.to_thread(thumbnail, path, studio.places.own / "thumbs")
    return Response(data, media_type="image/webp")


async def classify(request: Request) -> Response:
    """Which of some labels a picture shows."""
    data = await json_body(request)
    studio = studio_of(request)
    labels = [label.strip() for label in str(data.get("labels", "")).split(",") if label.strip()]
    if not labels or len(labels) > _MOST_LABELS:
        raise ConfigError(
            f"1 to {_MOST_LABELS} labels with commas between them, like a cat,a dog", field="labels"
        )
    if name := data.get("run"):
        path = studio.places.run(str(name)) / IMAGE
    else:
        path = studio.places.brought(str(data.get("id", "")))

    def work() -> Any:
        from guidegen.zero_shot.classify import classify

        return classify(path, labels, template=str(data.get("template", "")))[0]

    found = await asyncio.wrap_future(studio.errands.do(work))
    if found.error:
        raise InputImageError(found.error)
    pairs = zip(found.labels, found.probabilities, strict=True)
    return JSONResponse([{"label": label, "probability": value} for label, value in pairs])


async def check_list(request: Request) -> Response:
    """What is wrong with a list, line by line, or how many pictures it makes."""
    studio, data = studio_of(request), await json_body(request)

    def work() -> dict[str, Any]:
        try:
            jobs = open_list(studio, *_list_of(studio, data))
        except PromptListError as error:
            problems = [{"line": line, "message": text} for line, text in error.problems]
            return {"problems": problems, "more": error.total - len(problems), "total": 0}
        except GuidegenError as error:
            return {"errors": form.errors_of(error), "problems": [], "more": 0, "total": 0}
        total = jobs.total - len(jobs.repeats)
        return {"problems": [], "more": 0, "total": total, "lines": jobs.lines}

    return JSONResponse(await asyncio.to_thread(work))


def _list_of(studio: Studio, data: dict[str, Any]) -> tuple[Any, dict[str, Any], int]:
    path = keep_list(studio, str(data.get("name", "")), _text(data))
    return path, studio.settings(fields_of(data)), whole(data.get("count"), "count", 1)


def _text(data: dict[str, Any]) -> bytes:
    text = str(data.get("text", "")).encode("utf-8", "replace")
    if len(text) > MAX_LIST:
        raise ConfigError(
            f"a list has at most {MAX_LIST >> 20} MiB; guidegen batch draws longer ones"
        )
    return text


async def add_list(request: Request) -> Response:
    """Put a list into the queue."""
    studio, data = studio_of(request), await json_body(request)
    count = whole(data.get("count"), "count", 1)
    name, text, fields = str(data.get("name", "")), _text(data), fields_of(data)
    job = await asyncio.to_thread(studio.add_list, name, text, fields, count=count)
    return JSONResponse(job.model_dump(mode="json"), 201)


async def check_grid(request: Request) -> Response:
    """How many cells a grid has, or what is wrong with it."""
    studio, data = studio_of(request), await json_body(request)

    def work() -> dict[str, Any]:
        try:
            settings = studio.settings(fields_of(data))
            grid = open_grid(studio, settings, str(data.get("x", "")), str(data.get("y", "")))
        except GuidegenError as error:
            return {"errors": form.errors_of(error), "total": 0}
        return {"errors": [], "total": len(grid.configs)}

    return JSONResponse(await asyncio.to_thread(work))


async def add_grid(request: Request) -> Response:
    """Put a grid into the queue."""
    studio, data = studio_of(request), await json_body(request)
    x, y = str(data.get("x", "")), str(data.get("y", ""))
    job = await asyncio.to_thread(studio.add_grid, fields_of(data), x, y)
    return JSONResponse(job.model_dump(mode="json"), 201)


ROUTES = [
    Route("/api/upload", upload, methods=["POST"]),
    Route("/api/upload/{id:str}", picture),
    Route("/api/classify", classify, methods=["POST"]),
    Route("/api/list/check", check_list, methods=["POST"]),
    Route("/api/list", add_list, methods=["POST"]),
    Route("/api/grid/check", check_grid, methods=["POST"]),
    Route("/api/grid", add_grid, methods=["POST"]),
]
