"""Addresses of clusters, knocked at before Ray is asked."""

import socket
import time

import pytest

from guidegen.batch.on_ray.address import check_address, parse_address
from guidegen.errors import ConfigError, GuidegenError


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("auto", None),
        ("local", None),
        ("10.0.0.7:6379", ("10.0.0.7", 6379)),
        ("ray://head.example:10001", ("head.example", 10001)),
        ("[::1]:6379", ("::1", 6379)),
    ],
)
def test_addresses_are_read(address, place):
    assert parse_address(address) == place


@pytest.mark.parametrize(
    "address", ["", "head", "head:", ":6379", "head:0", "head:70000", "http://a:1", "a b:1", "a:x"]
)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ConfigError, match="is no address"):
        parse_address(address)


@pytest.mark.parametrize("way", ["named", "environment"])
def test_nobody_there_is_told_in_one_line_within_seconds(monkeypatch, way):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    began = time.monotonic()
    with pytest.raises(GuidegenError, match=f"no Ray cluster at {address}") as caught:
        check_address(address if way == "named" else "auto")
    assert time.monotonic() - began < 10
    assert "\n" not in str(caught.value)


def test_somebody_there_is_left_to_ray():
    with socket.create_server(("127.0.0.1", 0)) as server:
        check_address(f"127.0.0.1:{server.getsockname()[1]}")
    check_address(None)
    check_address("auto")
