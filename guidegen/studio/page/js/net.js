// What the page asks the server for, and the news that come from it.

import { T } from "./text.js";

export class Refused extends Error {
  constructor(errors) {
    super(errors.map((error) => error.message).join("; "));
    this.errors = errors;
  }
}

async function answer(request) {
  let response;
  try {
    response = await request;
  } catch {
    throw new Refused([{ field: "", message: T.gone }]);
  }
  const data = await response.json().catch(() => null);
  if (response.ok) return data;
  throw new Refused(data?.errors ?? [{ field: "", message: T.failed(response.status) }]);
}

export const get = (path, query = {}, signal = null) => {
  const words = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined));
  return answer(fetch(words.size ? `${path}?${words}` : path, { signal }));
};

export const post = (path, data = {}) =>
  answer(fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(data) }));

export const send = (path, file) =>
  answer(fetch(path, { method: "POST", headers: { "content-type": "application/octet-stream" }, body: file }));

// Told as events: "queue", "step", "run", "wall", "errand", "search", and "online" with true or false.
export const news = new EventTarget();
const KINDS = ["queue", "step", "run", "wall", "errand", "search"];
let source = null;

const tell = (kind, detail) => news.dispatchEvent(new CustomEvent(kind, { detail }));

export function on(kind, call) {
  const listener = (event) => call(event.detail);
  news.addEventListener(kind, listener);
  return () => news.removeEventListener(kind, listener);
}

function connect() {
  if (source) return;
  source = new EventSource("/api/events");
  source.addEventListener("open", () => tell("online", true));
  source.addEventListener("error", () => {
    tell("online", false);
    // a browser gives up after some answers; a server that starts again is worth another try
    if (source && source.readyState === EventSource.CLOSED) {
      source = null;
      setTimeout(connect, 1000);
    }
  });
  for (const kind of KINDS) source.addEventListener(kind, (event) => tell(kind, JSON.parse(event.data)));
}

// A browser opens few connections to one server: pages that nobody looks at give theirs back.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    source?.close();
    source = null;
  } else connect();
});

export const begin = () => { if (!document.hidden) connect(); };
