"""The public names; a change here is a change for everybody who uses the library."""

import guidegen


def test_the_public_names_are_these():
    assert guidegen.__all__ == [
        "GuidegenError", "Picture", "Recorder", "RunConfig", "Stop", "Stream", "StreamStep",
        "caption", "classify", "embed", "generate", "score", "search", "search_runs", "starts",
        "stream", "upscale",
    ]  # fmt: skip


def test_every_public_name_is_there_and_listed():
    for name in guidegen.__all__:
        assert getattr(guidegen, name).__doc__
        assert name in dir(guidegen)
