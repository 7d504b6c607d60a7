"""Who may ask: requests from this machine's own page only, and with a token from elsewhere."""

import secrets
from http.cookies import SimpleCookie
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "guidegen-studio"
# Everything comes from this server, and nothing else may be loaded, run, framed or sent to.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_LOCAL = frozenset({"127.0.0.1", "localhost", "[::1]"})


class Guard:
    """Refuses what does not come from the studio's own page.

    A page of another origin can make a browser send requests here; its Origin header tells. A name
    that suddenly means this machine (DNS rebinding) shows in the Host header.

    Args:
        app: gets what is let in.
        token: has to be shown, by a cookie, a bearer or once in the address; "" asks for none.
        local: only names of this machine are let in as Host.
    """

    def __init__(self, app: ASGIApp, *, token: str = "", local: bool = True) -> None:
        self.app, self.token, self.local = app, token, local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as ASGI has it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in message["headers"]}
                added = [(k.encode(), v.encode()) for k, v in _HEADERS.items()]
                message["headers"] = [
                    *message["headers"],
                    *((name, value) for name, value in added if name not in names),
                ]
            await send(message)

        headers = Headers(scope=scope)
        why = self._refused(headers)
        if why:
            await PlainTextResponse(f"{why}\n", 403)(scope, receive, guarded)
        elif self.token and not self._known(headers):
            await self._sign_in(scope, receive, guarded)
        else:
            await self.app(scope, receive, guarded)

    def _refused(self, headers: Headers) -> str:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or (self.local and _name(hosts[0]) not in _LOCAL):
            return "this page is at 127.0.0.1 only"
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{hosts[0]}":
            return "requests of other pages are refused"
        if headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none"):
            return ""
        # a link from elsewhere may be followed, but nothing else may come from there
        return (
            ""
            if headers.get("sec-fetch-mode") == "navigate"
            else "requests of other pages are refused"
        )

    def _known(self, headers: Headers) -> bool:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        given = bearer if scheme.lower() == "bearer" else cookie.value if cookie else ""
        return secrets.compare_digest(given.encode(), self.token.encode())

    async def _sign_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take the token from the address, once, and keep it in a cookie."""
        query = parse_qs(scope["query_string"].decode("latin-1"))
        (given, *_) = query.pop("token", [""])
        if scope["method"] != "GET" or not secrets.compare_digest(
            given.encode(), self.token.encode()
        ):
            text = "open the address with ?token=... that guidegen studio printed\n"
            await PlainTextResponse(text, 401)(scope, receive, send)
            return
        rest = urlencode(query, doseq=True)
        response = RedirectResponse(scope["path"] + (f"?{rest}" if rest else ""), 303)
        response.set_cookie(COOKIE, self.token, httponly=True, samesite="strict")
        await response(scope, receive, send)


def _name(host: str) -> str:
    """The name or address of a Host header, without the port."""
    name = urlsplit(f"//{host}").hostname or ""
    return f"[{name}]" if ":" in name else name
