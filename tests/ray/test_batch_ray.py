"""A prompt list on a Ray cluster of three nodes."""

import json
import os
import threading
import time

import pytest

from guidegen.batch.prompt_list import PromptList
from guidegen.utils.stop import Stop
from tests.helpers.lists import draw, fast, pictures, rows
from tests.helpers.tiny_clip import make_tiny_clip

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def cluster():
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    from ray.cluster_utils import Cluster

    size = 100 << 20
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": size}
    )
    cluster.add_node(num_cpus=1, object_store_memory=size)
    cluster.add_node(num_cpus=1, object_store_memory=size)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    cluster.wait_for_nodes()
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def executor(cluster):
    from guidegen.batch.on_ray.executor import Ray

    return Ray()


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return fast(make_tiny_clip(tmp_path_factory.mktemp("clip") / "tiny"))


def words(tmp_path, names):
    path = tmp_path / "things.txt"
    path.write_text("".join(f"a {name}\n" for name in names))
    return path


def test_same_pictures_while_workers_die_and_a_poison_is_reported(
    tmp_path, settings, executor, monkeypatch
):
    names = ["cat", "dog", "owl", "ship", "house", "tree", "poison", "moon", "hat", "cup"]
    path = words(tmp_path, names)
    draw(path, tmp_path / "local", settings)
    # the cat's worker dies once; the poison's each time
    places = ["a cat#0", "a poison#0", "a poison#1", "a poison#2"]
    monkeypatch.setenv("GUIDEGEN_FAILPOINT", ";".join(f"job@{p}:1:kill" for p in places))
    folder = tmp_path / "ray"
    results = draw(path, folder, settings, executor=executor)
    monkeypatch.delenv("GUIDEGEN_FAILPOINT")
    (bad,) = [result for result in results if result.status == "failed"]
    assert bad.prompt == "a poison"
    assert "its worker died, 3 times in a row" in bad.error
    assert len(results) == len(names)
    assert len({result.job for result in results}) == len(names)
    wanted = {name: digest for name, digest in pictures(tmp_path / "local").items()}
    assert pictures(folder) == {n: d for n, d in wanted.items() if not n.startswith("a-poison")}
    # several processes took part
    assert len({row["worker"] for row in rows(folder) if row["worker"]}) > 1
    # what was poison may be none tomorrow
    (again,) = draw(path, folder, settings, executor=executor, retry_failed=True)
    assert again.status == "finished"
    assert pictures(folder) == wanted


def test_a_node_that_goes_takes_no_job_with_it(tmp_path, settings, cluster, executor):
    from guidegen.batch.run import run_list

    node = cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
    cluster.wait_for_nodes()
    path = words(tmp_path, [f"thing {n}" for n in range(30)])
    folder = tmp_path / "ray"
    jobs = PromptList(path, {**settings, "out": folder})
    jobs.check()
    results = []
    for result in run_list(jobs, folder, executor):
        results.append(result)
        if len(results) == 1:
            cluster.remove_node(node, allow_graceful=False)
    assert {result.status for result in results} == {"finished"}
    assert sorted(result.job for result in results) == list(range(30))
    draw(path, tmp_path / "local", settings)
    assert pictures(folder) == pictures(tmp_path / "local")


def test_a_stop_drains_and_the_same_call_goes_on(tmp_path, settings, executor):
    path = words(tmp_path, [f"thing {n}" for n in range(5)])
    long = {**settings, "steps": 300, "size": "16", "save_every": 10_000}
    folder = tmp_path / "ray"
    stop = Stop()

    def ask():
        while not list(folder.glob("*/steps.jsonl")):
            time.sleep(0.05)
        stop.set()

    thread = threading.Thread(target=ask)
    thread.start()
    assert len(draw(path, folder, long, executor=executor, stop=stop)) < 5
    thread.join()
    assert not (folder / ".stop").exists()
    begun = [json.loads(p.read_text()) for p in folder.glob("*/run.json")]
    assert "interrupted" in {run["status"] for run in begun}
    assert all(list(p.parent.glob("state-*")) for p in folder.glob("*/run.json")
               if json.loads(p.read_text())["status"] == "interrupted")  # fmt: skip
    draw(path, folder, long, executor=executor)
    draw(path, tmp_path / "local", long)
    assert pictures(folder) == pictures(tmp_path / "local")
