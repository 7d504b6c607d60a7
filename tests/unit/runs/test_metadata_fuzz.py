"""Metadata that anybody may have written, made up at random."""

import pytest

from guidegen.config import RunConfig
from guidegen.errors import InputImageError
from guidegen.runs import metadata
from guidegen.utils.text import is_printable
from tests.unit.runs.test_metadata import forged

hypothesis = pytest.importorskip("hypothesis")
st = pytest.importorskip("hypothesis.strategies")

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@hypothesis.settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(
    st.fixed_dictionaries(
        {},
        optional={
            "config": st.dictionaries(st.sampled_from(sorted(RunConfig.model_fields)), _JSON)
            | st.fixed_dictionaries({"prompt": st.text(), "negative": st.lists(st.text())}),
            "scores": _JSON | st.dictionaries(st.text(), st.floats()),
            "models": _JSON | st.dictionaries(st.text(), st.text()),
            "version": _JSON,
        },
    )
    | st.text()
)
@pytest.mark.slow
def test_whatever_metadata_says_it_is_read_or_refused_and_its_command_is_printable(tmp_path, data):
    try:
        record = metadata.read(forged(tmp_path, data))
    except (InputImageError, UnicodeEncodeError):  # the latter by our own writing of a surrogate
        return
    assert all(map(is_printable, metadata.command(record.config)))
