"""What the server answers, without a browser and without drawing."""

import io
import json
import zlib
from struct import pack

import pytest
from PIL import Image

pytest.importorskip("starlette")
pytest.importorskip("sse_starlette")

from starlette.testclient import TestClient

from guidegen.config import RunConfig, make_config
from guidegen.runs import metadata
from guidegen.runs.store import Run, RunStore
from guidegen.studio.app import make_app
from guidegen.studio.guard import POLICY
from guidegen.studio.studio import Studio

LOCAL = "http://127.0.0.1:7878"


@pytest.fixture
def studio(tmp_path):
    root = tmp_path / "outputs"
    root.mkdir()
    (tmp_path / "secret.png").write_bytes(png())
    return Studio(root, {"perceptor": ["local-dir:/trusted"], "size": "64"})


@pytest.fixture
def client(studio):
    return TestClient(make_app(studio), base_url=LOCAL)


def png(size=(32, 24), **info):
    buffer = io.BytesIO()
    Image.new("RGB", size, "teal").save(buffer, "PNG")
    return buffer.getvalue()


def hang(studio, prompt, *, seed=0, score=None, folder="", generator="pixels", picture=True):
    """A finished run, as the engine leaves it; its name."""
    config = make_config({"prompt": prompt, "seed": seed, "generator": generator})
    run = RunStore(studio.places.root / folder).create(config, config.digest())
    if picture:
        run.write("image.png", png())
    run.finish({} if score is None else {"similarity a": score})
    return studio.places.name(run.path)


def names(answer):
    return [run["name"] for run in answer.json()["runs"]]


def test_only_names_of_this_machine_are_answered(client):
    for host in ["127.0.0.1:7878", "localhost:7878", "[::1]:7878"]:
        assert client.get("/api/runs", headers={"host": host}).status_code == 200
    for host in ["evil.example", "127.0.0.1.evil.example:7878", "192.168.0.7:7878", ""]:
        assert client.get("/api/runs", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_pages_of_other_origins_are_refused(client, method):
    for origin in ["http://evil.example", "http://127.0.0.1:1", "https://127.0.0.1:7878", "null"]:
        answer = client.request(method, "/api/jobs", headers={"origin": origin}, json={})
        assert answer.status_code == 403
    assert client.get("/api/jobs", headers={"origin": LOCAL}).status_code == 200
    cross = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    assert client.get("/api/jobs", headers=cross).status_code == 403


def test_the_policy_has_no_exceptions_and_stands_on_every_answer(client):
    for path in ["/", "/page/js/main.js", "/api/runs", "/nothing", "/api/run/nothing"]:
        assert client.get(path).headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY
    assert "*" not in POLICY
    assert "default-src 'none'" in POLICY


def test_other_machines_need_the_token_once(studio):
    app = make_app(studio, token="s3cret", local=False)
    client = TestClient(app, base_url="http://192.168.0.7:7878", follow_redirects=False)
    assert client.get("/").status_code == 401
    assert client.get("/api/runs").status_code == 401
    assert client.get("/?token=wrong").status_code == 401
    assert client.post("/api/jobs?token=s3cret", json={}).status_code == 401
    answer = client.get("/?token=s3cret")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert "SameSite=strict" in answer.headers["set-cookie"]
    assert client.get("/api/runs").status_code == 200
    client.cookies.clear()
    bearer = {"authorization": "Bearer s3cret"}
    assert client.get("/api/runs", headers=bearer).status_code == 200


OUT = [
    "..",
    "../secret.png",
    "a/../../secret.png",
    "/etc/passwd",
    ".studio",
    "a/.trash",
    "a\\..\\b",
    "",
]


@pytest.mark.parametrize("name", OUT)
def test_no_parameter_leads_out_of_the_folder(studio, client, name):
    quoted = name.replace("/", "%2f").replace(".", "%2e").replace("\\", "%5c")
    for path in ["run/", "thumb/", "file/", "moments/", "moment/0/", "upload/", "jobs/"]:
        if name or path != "jobs/":
            assert client.get(f"/api/{path}{quoted}").status_code in (404, 405)
    bodies = {
        "star": {"name": name, "on": True}, "trash": {"names": [name]},
        "restore": {"names": [name]}, "video": {"name": name}, "upscale": {"name": name},
        "go-on": {"name": name}, "classify": {"id": name, "labels": "a,b"},
    }  # fmt: skip
    for path, data in bodies.items():
        answer = client.post(f"/api/{path}", json=data)
        assert answer.status_code == 422, path
        assert answer.json()["errors"][0]["message"]
    assert client.get("/api/runs", params={"folder": name}).json()["total"] == 0
    assert (studio.places.root.parent / "secret.png").is_file()


def test_a_link_does_not_lead_out_of_the_folder_either(studio, client, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "run.json").write_text("{}")
    (studio.places.root / "link").symlink_to(elsewhere)
    assert client.get("/api/run/link").status_code == 404
    assert client.get("/api/runs").json()["total"] == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("init_image", "/etc/passwd"), ("init_image", "../secret.png"), ("out", "/tmp/x"),
        ("image_prompt", ["../secret.png:0.5"]), ("perceptor", ["local-dir:/etc"]),
        ("init_image", "upload:../../secret.png"), ("init_image", "upload:" + "0" * 32),
    ],
)  # fmt: skip
def test_settings_name_no_file_outside(client, field, value):
    fields = {"prompt": "a", "generator": "pixels", field: value}
    found = client.post("/api/check", json={"fields": fields}).json()
    assert [error["field"] for error in found["errors"]] == [field]
    answer = client.post("/api/jobs", json={"fields": fields})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


def test_a_list_names_no_file_outside(client, tmp_path):
    text = json.dumps({"prompt": "a", "init_image": str(tmp_path / "secret.png")})
    data = {"name": "l.jsonl", "text": text, "fields": {"generator": "pixels"}}
    (problem,) = client.post("/api/list/check", json=data).json()["problems"]
    assert problem["line"] == 1
    assert "outside" in problem["message"]


def test_errors_stand_at_their_fields_in_the_words_of_the_command_line(client):
    fields = {"prompt": "a red apple", "steps": "many", "lr": "-1", "cutout_scale": "9"}
    found = client.post("/api/check", json={"fields": fields, "count": 1}).json()
    words = {error["field"]: error["message"] for error in found["errors"]}
    assert set(words) == {"steps", "lr", "cutout_scale"}
    assert words["cutout_scale"] == "'9' is no range of sizes; write LOW,HIGH like 0.5,0.95"
    size = {"prompt": "a", "generator": "collage", "size": "17"}
    (error,) = client.post("/api/check", json={"fields": size}).json()["errors"]
    assert (error["field"], "collage makes pictures of" in error["message"]) == ("size", True)
    many = client.post("/api/check", json={"fields": {"prompt": "a"}, "count": 1000}).json()
    assert many["errors"][0]["field"] == "count"


def test_a_prompt_is_read_while_it_is_typed(client):
    fields = {"prompt": "a dog:2 | fog:-0.5 ^ (cat:1.3)"}
    found = client.post("/api/check", json={"fields": fields}).json()
    first, second = found["scenes"]
    assert first == [
        {"text": "a dog", "weight": 2.0, "stop": None},
        {"text": "fog", "weight": -0.5, "stop": None},
    ]
    assert second[0]["text"] == "(cat:1.3)"
    assert "write 'cat:1.3'" in found["hints"][0]


def test_the_form_has_every_setting_once(client):
    form = client.get("/api/form").json()
    shown = [name for group in form["groups"] for name in group["fields"]]
    assert sorted(shown) == sorted(set(RunConfig.model_fields) - {"prompt", "out"})
    assert form["fields"]["optimizer"]["choices"][0] == "adam"
    assert form["fields"]["ema"]["high"] == 1
    assert {one["name"] for one in form["generators"]} >= {"collage", "pixels"}


def test_a_picture_of_guidegen_gives_its_settings_back(client):
    config = make_config({"prompt": "an owl", "seed": 5, "steps": 7, "generator": "pixels"})
    image = Image.new("RGB", (16, 16))
    answer = client.post("/api/upload", content=metadata.save_png(image, config))
    assert answer.status_code == 201
    found = answer.json()
    assert (found["settings"]["prompt"], found["settings"]["seed"]) == ("an owl", 5)
    assert client.get(f"/api/upload/{found['id']}").headers["content-type"] == "image/webp"
    fields = {"prompt": "a", "generator": "pixels", "init_image": f"upload:{found['id']}"}
    errors = client.post("/api/check", json={"fields": fields}).json()["errors"]
    assert "init_image" not in [error["field"] for error in errors]


def bomb(side):
    """The head of a PNG that would be `side` pixels wide and high."""
    head = pack(">2I5B", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    body = b"".join(
        pack(">I", len(data)) + kind + data + pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"<script>", "can't be read"), (bomb(60_000), "megapixels"), (bomb(64), "can't be read"),
        (b"", "can't be read"), (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image"),
    ],
    ids=["markup", "bomb", "cut off", "nothing", "postscript"],
)  # fmt: skip
def test_what_is_no_picture_is_refused_and_not_kept(studio, client, data, says):
    answer = client.post("/api/upload", content=data)
    assert answer.status_code == 422
    assert says in answer.json()["errors"][0]["message"]
    assert str(studio.places.root) not in answer.text
    assert not list((studio.places.own / "uploads").glob("*"))


def test_uploads_are_bounded(client, monkeypatch):
    monkeypatch.setattr("guidegen.studio.api.bringing.MAX_UPLOAD", 1 << 20)
    answer = client.post("/api/upload", content=b"\0" * (1 << 20) + b"\0")
    assert answer.status_code == 422
    assert "more than the 1 MiB" in answer.json()["errors"][0]["message"]


def test_a_list_tells_its_bad_lines_by_number(client):
    text = "a red apple\na cat:0,5\n# a comment\na dog | \n"
    fields = {"generator": "pixels", "perceptor": "embedded"}
    data = {"name": "mine.txt", "text": text, "fields": fields}
    found = client.post("/api/list/check", json=data).json()
    assert [problem["line"] for problem in found["problems"]] == [2, 4]
    assert "'0,5' is not a number" in found["problems"][0]["message"]
    assert client.post("/api/list", json=data).status_code == 422


def test_the_wall_finds_filters_and_orders(studio, client):
    a = hang(studio, "a red apple", score=0.3)
    b = hang(studio, "a green pear", seed=4, score=0.1, generator="collage")
    c = hang(studio, "a red dog", folder="my-list")
    assert set(names(client.get("/api/runs"))) == {a, b, c}
    assert c.startswith("my-list/")
    assert names(client.get("/api/runs", params={"words": "RED app"})) == [a]
    assert names(client.get("/api/runs", params={"generator": "collage"})) == [b]
    assert names(client.get("/api/runs", params={"lowest": "0.2"})) == [a]
    assert names(client.get("/api/runs", params={"order": "score"})) == [a, b, c]
    assert names(client.get("/api/runs", params={"folder": "my-list"})) == [c]
    assert names(client.get("/api/runs", params={"first": 1, "count": 1, "order": "score"})) == [b]
    assert client.get("/api/generators").json() == ["collage", "pixels"]
    assert client.get("/api/runs", params={"lowest": "nan"}).status_code == 422


def test_stars_stay_and_runs_come_back_from_the_trash(studio, client):
    name, other = hang(studio, "a red apple"), hang(studio, "a pear")
    client.post("/api/star", json={"name": name, "on": True})
    assert names(client.get("/api/runs", params={"starred": "1"})) == [name]
    assert Studio(studio.places.root).wall.starred(name)
    assert client.post("/api/trash", json={"names": [name]}).status_code == 200
    assert names(client.get("/api/runs")) == [other]
    assert (studio.places.root / ".trash" / name / "image.png").is_file()
    client.post("/api/restore", json={"names": [name]})
    assert set(names(client.get("/api/runs"))) == {name, other}
    client.post("/api/star", json={"name": name, "on": False})
    assert not names(client.get("/api/runs", params={"starred": "1"}))


def test_a_run_tells_settings_scores_and_files(studio, client):
    name = hang(studio, "a red apple", seed=3, score=0.25)
    (studio.places.root / name / "steps.jsonl").write_text(
        '{"step": 0, "losses": {"total": 0.9}, "scores": {"judge a": 0.1}}\nbroken\n'
        '{"step": 1, "losses": {"total": 0.5}, "scores": {"judge a": null}}\n'
    )
    found = client.get(f"/api/run/{name}").json()
    assert (found["config"]["seed"], found["scores"]) == (3, {"similarity a": 0.25})
    scores = {"judge a": [[0, 0.1]]}
    assert found["curves"] == {"loss": [[0, 0.9], [1, 0.5]], "scores": scores}
    assert found["command"].startswith("guidegen generate 'a red apple'")
    assert client.get(f"/api/file/{name}/image.png").content == png()
    assert client.get(f"/api/thumb/{name}").headers["content-type"] == "image/webp"
    for hidden in ["run.json", "steps.jsonl", ".lock"]:
        assert client.get(f"/api/file/{name}/{hidden}").status_code == 404


def test_a_run_without_words_is_called_by_what_it_is_like(studio, client):
    fields = {"prompt": "", "image_prompt": ["sketch.png:0.5"], "noise_prompt": ["3:1"]}
    config = make_config({**fields, "generator": "pixels"})
    RunStore(studio.places.root).create(config, config.digest())
    (run,) = client.get("/api/runs", params={"words": "sketch"}).json()["runs"]
    assert run["prompt"] == config.title == "like sketch noise 3:1"


def test_what_is_broken_on_the_wall_harms_nothing_else(studio, client):
    name = hang(studio, "a red apple", picture=False)
    for number, text in enumerate(["", "{", "[]", '{"config": 3}', '{"config": {"prompt": null}}']):
        folder = studio.places.root / f"broken-{number}"
        folder.mkdir()
        (folder / "run.json").write_text(text)
    assert name in names(client.get("/api/runs"))
    assert names(client.get("/api/runs", params={"words": "apple"})) == [name]
    assert client.get(f"/api/thumb/{name}").status_code == 404
    assert client.get("/api/run/broken-1").status_code == 404


def test_a_request_that_is_no_json_object_is_refused(client):
    plain = {"content-type": "text/plain"}
    assert client.post("/api/check", content=b"{}", headers=plain).status_code == 422
    for text in [b"[]", b"{", b"[" * 100_000, b"\xff"]:
        head = {"content-type": "application/json"}
        assert client.post("/api/check", content=text, headers=head).status_code == 422


def test_a_grid_is_checked_at_its_axes(client):
    ask = {"fields": {"prompt": "a", "generator": "pixels"}, "x": "seed=0,1", "y": "lr=0.1,0.2"}
    ask["fields"]["perceptor"] = "embedded"
    assert client.post("/api/grid/check", json=ask).json() == {"errors": [], "total": 4}
    for x, why in [("sed=1", "no setting"), ("seed", "not SETTING=VALUE"), ("seed=1,1", "twice")]:
        (error,) = client.post("/api/grid/check", json={**ask, "x": x}).json()["errors"]
        assert error["field"] == "x"
        assert why in error["message"]


def test_a_run_of_the_disk_is_read_as_the_engine_wrote_it(studio):
    name = hang(studio, "a red apple", seed=9)
    card = studio.wall.card(name)
    run = Run.load(studio.places.run(name))
    assert (card.prompt, card.seed, card.status) == (run.config.prompt, 9, run.status)
