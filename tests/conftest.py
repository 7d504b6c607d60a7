"""What all tests share: who can't run here skips, and a run says what it left out."""

import shutil
from collections import Counter
from importlib.util import find_spec

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "chrome"])), None)
LEFT_OUT = pytest.StashKey[Counter]()
BY_DEFAULT = ("slow", "ray", "browser")  # what `addopts` deselects


def pytest_addoption(parser):
    parser.addoption(
        "--no-excuses",
        action="store_true",
        help="tests that need ray, a browser or another package fail where it is missing",
    )


def pytest_configure(config):
    config.stash[LEFT_OUT] = Counter()


def pytest_collection_modifyitems(items, config):
    for item in items:
        if item.get_closest_marker("gpu") and not cuda():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
        missing = [name for name in needed(item) if not find_spec(name)]
        if item.get_closest_marker("browser") and not CHROMIUM:
            missing.append("chromium")
        if missing and not config.getoption("--no-excuses"):
            item.add_marker(pytest.mark.skip(reason=f"needs {', '.join(missing)}"))


def needed(item):
    """Packages without which a test can't run."""
    names = [name for marker in item.iter_markers("needs") for name in marker.args]
    if item.get_closest_marker("ray"):
        names.append("ray")
    if item.get_closest_marker("browser"):
        names.append("playwright")
    return names


def cuda():
    import torch

    return torch.cuda.is_available()


def pytest_deselected(items):
    for item in items:
        name = next((name for name in BY_DEFAULT if item.get_closest_marker(name)), None)
        if name:
            item.config.stash[LEFT_OUT][name] += 1


def pytest_terminal_summary(terminalreporter, config):
    counts = config.stash[LEFT_OUT]
    if counts:
        parts = ", ".join(f"{counts[name]} {name}" for name in BY_DEFAULT if counts[name])
        terminalreporter.write_line(
            f'left out {counts.total()} tests ({parts}); all of them: pytest -m ""'
        )


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium; one for all tests, for playwright runs one event loop in a thread."""
    from playwright import sync_api

    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()
