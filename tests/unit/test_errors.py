"""The error tree: distinct exit codes, built-in bases, helpful messages."""

import pytest

from guidegen import errors
from guidegen.errors import GuidegenError, UnknownNameError


def leaves(cls=GuidegenError):
    for child in cls.__subclasses__():
        yield child
        yield from leaves(child)


def test_exit_codes_are_distinct_and_the_docstring_lists_them():
    codes = {cls.__name__: cls.exit_code for cls in {GuidegenError, *leaves()}}
    assert len(set(codes.values())) == len(codes)
    for name, code in codes.items():
        line = next(line for line in errors.__doc__.splitlines() if name in line)
        assert line.split(name)[1].split()[0] == str(code)


@pytest.mark.parametrize(
    ("leaf", "builtin"),
    [
        (errors.ConfigError, ValueError),
        (errors.UnknownNameError, LookupError),
        (errors.OutputError, OSError),
        (errors.InputImageError, ValueError),
    ],
)
def test_leaves_are_builtins_too(leaf, builtin):
    with pytest.raises(builtin, match="what"):
        raise leaf("what")


def test_near_names_are_offered():
    message = str(UnknownNameError.of("generator", "colage", ["collage", "pixels", "fourier"]))
    assert message == "no generator is called 'colage'; did you mean collage?"
    far = str(UnknownNameError.of("generator", "zzz", ["collage", "pixels"]))
    assert far == "no generator is called 'zzz'; known: collage, pixels"
