"""Keeping: the wall, runs, and their files."""

import asyncio
import math

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from guidegen.errors import ConfigError, InputImageError
from guidegen.runs.metadata import command
from guidegen.runs.store import IMAGE, Run
from guidegen.studio.requests import json_body, studio_of, whole
from guidegen.studio.runs import thumbnails
from guidegen.studio.runs.curves import curves
from guidegen.studio.runs.wall import Query

# What of a run directory the page may get, and as what.
_FILES = {".png": "image/png", ".mp4": "video/mp4", ".gif": "image/gif", ".webp": "image/webp"}


async def runs(request: Request) -> Response:
    """Some of the runs on the wall; those that show what `meaning` says, the nearest first."""
    ask = request.query_params
    order = ask.get("order", "newest")
    if order not in ("newest", "oldest", "score"):
        raise ConfigError(f"newest, oldest or score, not {order!r}", field="order")
    query = Query(
        words=ask.get("words", ""),
        generator=ask.get("generator", ""),
        lowest=_figure(ask.get("lowest", "")),
        starred=ask.get("starred") == "1",
        folder=ask.get("folder", ""),
        order=order,  # type: ignore[arg-type]
    )
    first, count = whole(ask.get("first"), "first", 0), whole(ask.get("count"), "count", 60)
    studio, similar = studio_of(request), None
    if meaning := ask.get("meaning", "").strip():
        similar = await asyncio.wrap_future(studio.search.find(meaning, again=first > 0))
    page = await asyncio.to_thread(
        studio.wall.page, query, first=first, count=count, similar=similar
    )
    return JSONResponse(page)


async def generators(request: Request) -> Response:
    """What drew the runs on the wall."""
    return JSONResponse(await asyncio.to_thread(studio_of(request).wall.generators))


async def run(request: Request) -> Response:
    """One run: settings, scores and curves."""
    studio, name = studio_of(request), request.path_params["name"]
    path = studio.places.run(name)
    found = await asyncio.to_thread(Run.load, path)
    files = sorted(p.name for p in path.iterdir() if p.suffix in _FILES and p.name[0] != ".")
    card = studio.wall.row(studio.wall.card(name))
    return JSONResponse({
        **card,
        "config": found.config.model_dump(mode="json", exclude={"out"}),
        "scores": found.scores, "device": found.device, "seconds": found.seconds,
        "ended": found.ended, "notes": found.notes, "last_step": found.last_step,
        "versions": found.versions, "command": command(found.config), "files": files,
        "curves": await asyncio.to_thread(curves, path),
    })  # fmt: skip


async def thumbnail(request: Request) -> Response:
    """A small picture of a run, made when it is first asked for."""
    studio = studio_of(request)
    path = studio.places.run(request.path_params["name"]) / IMAGE
    data = await asyncio.to_thread(thumbnails.thumbnail, path, studio.places.own / "thumbs")
    return Response(
        data, media_type="image/webp", headers={"cache-control": "private, max-age=600"}
    )


async def file(request: Request) -> Response:
    """A picture or video in the output folder."""
    name = request.path_params["name"]
    path = studio_of(request).places.inside(name)
    kind = _FILES.get(path.suffix)
    if kind is None or not path.is_file():
        raise InputImageError(f"there is no picture or video {name!r}")
    return FileResponse(path, media_type=kind)


async def moments(request: Request) -> Response:
    """The steps of a run that can be shown."""
    studio = studio_of(request)
    path = studio.places.run(request.path_params["name"])
    work = studio.errands.do(lambda: studio.moments.steps(path))
    return JSONResponse(await asyncio.wrap_future(work))


async def moment(request: Request) -> Response:
    """The picture of one of them."""
    studio, index = studio_of(request), request.path_params["index"]
    path = studio.places.run(request.path_params["name"])
    work = studio.errands.do(lambda: studio.moments.picture(path, index))
    return Response(await asyncio.wrap_future(work), media_type="image/jpeg")


async def video(request: Request) -> Response:
    """Begin a video of a run."""
    data = await json_body(request)
    studio, name = studio_of(request), str(data.get("name", ""))
    seconds = whole(data.get("seconds"), "seconds", 6)
    await asyncio.to_thread(studio.errands.video, name, studio.places.run(name), seconds)
    return JSONResponse({}, 202)


async def upscale(request: Request) -> Response:
    """Begin to enlarge the picture of a run."""
    data = await json_body(request)
    studio, name = studio_of(request), str(data.get("name", ""))
    factor = whole(data.get("factor"), "factor", 2)
    await asyncio.to_thread(studio.errands.upscale, name, studio.places.run(name), factor)
    return JSONResponse({}, 202)


async def go_on(request: Request) -> Response:
    """Put a run that was stopped into the queue again."""
    data = await json_body(request)
    job = await asyncio.to_thread(studio_of(request).go_on, str(data.get("name", "")))
    return JSONResponse(job.model_dump(mode="json"), 201)


async def star(request: Request) -> Response:
    """Give a run a star, or take it away."""
    data = await json_body(request)
    studio_of(request).wall.star(str(data.get("name", "")), on=bool(data.get("on")))
    return JSONResponse({})


async def trash(request: Request) -> Response:
    """Move runs to the trash folder, or back."""
    data = await json_body(request)
    wall = studio_of(request).wall
    move = wall.restore if request.url.path.endswith("restore") else wall.discard
    names = data.get("names", [])
    for name in names if isinstance(names, list) else []:
        await asyncio.to_thread(move, str(name))
    studio_of(request).broker.publish("wall", "", {})
    return JSONResponse({})


def _figure(text: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(f"a number, not {text!r}", field="lowest")
    return value


ROUTES = [
    Route("/api/runs", runs),
    Route("/api/generators", generators),
    Route("/api/star", star, methods=["POST"]),
    Route("/api/trash", trash, methods=["POST"]),
    Route("/api/restore", trash, methods=["POST"]),
    Route("/api/video", video, methods=["POST"]),
    Route("/api/upscale", upscale, methods=["POST"]),
    Route("/api/go-on", go_on, methods=["POST"]),
    Route("/api/moments/{name:path}", moments),
    Route("/api/moment/{index:int}/{name:path}", moment),
    Route("/api/run/{name:path}", run),
    Route("/api/thumb/{name:path}", thumbnail),
    Route("/api/file/{name:path}", file),
]
