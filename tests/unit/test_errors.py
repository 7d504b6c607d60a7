"""The error tree: distinct exit codes, built-in bases, helpful messages."""

import ast
import pickle
import re
from pathlib import Path

import pytest

import generators
import guidegen
from guidegen import errors
from guidegen.errors import GuidegenError, OutputError, UnknownNameError

ROOMS = [Path(package.__file__).parent for package in (guidegen, generators)]


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


def test_any_error_names_its_setting_and_the_command_line_spells_it():
    error = OutputError("can't be written", field="out")
    for same in (error, pickle.loads(pickle.dumps(error))):  # as from a worker on Ray
        assert str(same) == "out: can't be written"
        assert same.spelled(lambda field: f"--{field}") == "--out: can't be written"
        assert same.field == "out"


def texts(code):
    """What a module may say: its texts without docstrings, {} for what is put in."""
    tree = ast.parse(code)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    passed = {id(node.body[0].value) for node in ast.walk(tree)
              if isinstance(node, documented) and isinstance(node.body[0], ast.Expr)}  # fmt: skip
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
            yield node.lineno, "".join(parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from [(node.lineno, node.value)] if id(node) not in passed else []


def spelled_flags(code):
    return [
        (line, text) for line, text in texts(code) if re.search(r"(?:^|[\s('\"])--[a-z{]", text)
    ]


@pytest.mark.slow
def test_the_library_spells_no_flags():
    # the command line's own folder does, training is a command line, and the shell command that
    # makes a picture again is written into its metadata
    talks = ("cli", "training", "runs/metadata.py")
    found = [
        f"{path}:{line}: {text}"
        for room in ROOMS
        for path in sorted(room.rglob("*.py"))
        if not path.relative_to(room).as_posix().startswith(talks)
        for line, text in spelled_flags(path.read_text(encoding="utf-8"))
    ]
    assert not found


@pytest.mark.parametrize(
    "code", ['raise E("try a smaller --size")', 'f"write --out {place}"', 'f"--{name}: no"']
)
def test_flags_in_messages_are_found(code):
    assert spelled_flags(code)
    assert not spelled_flags('def f():\n    """As --size."""\n    return "a--b, a - b"')
