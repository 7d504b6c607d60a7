"""Where drawings come from."""

import re
from pathlib import Path

import pytest

from guidegen.training.data.sources import SOURCES

ATTRIBUTION = (Path(__file__).parents[4] / "ATTRIBUTION.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.key)
def test_the_author_of_every_source_is_named_beside_its_package_and_licence(source):
    (line,) = re.findall(rf"^\|.*`{re.escape(source.package.name)}`.*$", ATTRIBUTION, re.M)
    assert source.author in line
    assert source.package.version in line
