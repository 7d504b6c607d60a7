"""The web application: the page, its files, and what they ask for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from guidegen.errors import GuidegenError
from guidegen.studio.api import bringing, keeping, making
from guidegen.studio.guard import Guard
from guidegen.studio.requests import tell
from guidegen.studio.studio import Studio

_PAGE = Path(__file__).with_name("page")


def make_app(studio: Studio, *, token: str = "", local: bool = True) -> Starlette:
    """The application; it starts and closes the studio.

    Args:
        studio: what it is for.
        token: as `Guard` takes it.
        local: as `Guard` takes it.
    """

    async def index(request: Request) -> Response:
        return FileResponse(_PAGE / "index.html")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        studio.start()
        yield
        await asyncio.to_thread(studio.close)

    app = Starlette(
        routes=[
            Route("/", index),
            Mount("/page", StaticFiles(directory=_PAGE)),
            *making.ROUTES,
            *keeping.ROUTES,
            *bringing.ROUTES,
        ],
        middleware=[Middleware(Guard, token=token, local=local)],
        exception_handlers={GuidegenError: tell},
        lifespan=lifespan,
    )
    app.state.studio = studio
    return app
