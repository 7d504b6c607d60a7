"""Making: the form, its checks, jobs, and what happens to them."""

import asyncio

from sse_starlette.sse import EventSourceResponse
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from guidegen.errors import ConfigError, GuidegenError, InputImageError
from guidegen.studio import form
from guidegen.studio.queue.drawer import PAUSED, STOPPED
from guidegen.studio.queue.kinds import start_path
from guidegen.studio.requests import fields_of, json_body, studio_of, whole

# Seconds after which a silent stream of events shows that it is still there.
_PING = 15


async def get_form(request: Request) -> Response:
    """Every setting, preset, generator and perceptor."""
    return JSONResponse(await asyncio.to_thread(form.form, studio_of(request).defaults))


async def check(request: Request) -> Response:
    """What a form would be drawn with, or what is wrong with it."""
    data = await json_body(request)
    studio, fields = studio_of(request), fields_of(data)
    try:
        settings = studio.settings(fields)
        count = whole(data.get("count"), "count", 1)
    except GuidegenError as error:
        found = form.check({"prompt": str(fields.get("prompt", ""))})
        return JSONResponse({**found, "errors": form.errors_of(error)})
    return JSONResponse(await asyncio.to_thread(form.check, settings, count=count))


async def add(request: Request) -> Response:
    """Put a job into the queue."""
    data = await json_body(request)
    count = whole(data.get("count"), "count", 1)
    given = data.get("picks", [])
    picks = [whole(pick, "pick", 1) for pick in given] if isinstance(given, list) else []
    kind, fields = str(data.get("kind", "pictures")), fields_of(data)
    job = await asyncio.to_thread(studio_of(request).add, kind, fields, count=count, picks=picks)
    return JSONResponse(job.model_dump(mode="json"), 201)


async def jobs(request: Request) -> Response:
    """The queue."""
    return JSONResponse(studio_of(request).snapshot())


async def job(request: Request) -> Response:
    """One job, with its curves so far."""
    studio, name = studio_of(request), request.path_params["job"]
    found = studio.queue.get(name).model_dump(mode="json")
    return JSONResponse({**found, "live": studio.drawer.live(name).whole(name)})


async def preview(request: Request) -> Response:
    """The small picture of a candidate."""
    studio = studio_of(request)
    job, number = studio.queue.get(request.path_params["job"]), request.path_params["number"]
    data = studio.drawer.live(job.id).preview(number)
    if not data:
        path = start_path(studio, job, number)
        data = path.read_bytes() if path.is_file() else b""
    if not data:
        raise InputImageError("there is no preview yet")
    return Response(data, media_type="image/jpeg")


async def act(request: Request) -> Response:
    """Pause, resume, stop, move or forget a job."""
    studio = studio_of(request)
    name, action = request.path_params["job"], request.path_params["action"]
    data = await json_body(request)
    if action == "pause":
        studio.drawer.stop(name, PAUSED)
    elif action == "stop":
        studio.drawer.stop(name, STOPPED)
    elif action == "resume":
        if studio.queue.get(name).state != "running":
            studio.queue.change(name, state="waiting", why="")
    elif action == "move":
        studio.queue.move(name, whole(data.get("place"), "place", 0))
    elif action == "forget":
        if studio.queue.get(name).state == "running":
            raise ConfigError("it is being drawn; stop it first")
        studio.queue.forget(name)
    else:
        raise InputImageError(f"a job can't {action}")
    return JSONResponse({})


async def events(request: Request) -> Response:
    """News as they come; first the queue as it is."""
    studio = studio_of(request)

    news = studio.broker.listen(lambda: {"queue": studio.snapshot()})
    return EventSourceResponse(news, ping=_PING)


ROUTES = [
    Route("/api/form", get_form),
    Route("/api/check", check, methods=["POST"]),
    Route("/api/events", events),
    Route("/api/jobs", jobs),
    Route("/api/jobs", add, methods=["POST"]),
    Route("/api/jobs/{job:str}", job),
    Route("/api/jobs/{job:str}/preview/{number:int}", preview),
    Route("/api/jobs/{job:str}/{action:str}", act, methods=["POST"]),
]
