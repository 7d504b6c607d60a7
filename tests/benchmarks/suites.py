"""Lists of prompts that pictures are judged by."""

import csv
import json
from pathlib import Path

from tests.benchmarks.judging import all_prompts

SUITES = ("ours", "drawbench", "parti", "hpd")
# Of the Human Preference Dataset v2 (Wu et al. 2023), a list of 800 prompts each.
_STYLES = ("anime", "concept-art", "paintings", "photo")


class SuiteError(Exception):
    """A suite, or what is to be done with it, can't be used; one line."""


def read_suite(name: str, path: Path | None) -> dict[str, str]:
    """Prompt -> its category, "" where there is none, in order; a prompt that repeats counts once.

    Args:
        name: of `SUITES`.
        path: .csv or .tsv with a head; of hpd the folder with anime.json and its three siblings;
            ours needs none.

    Raises:
        SuiteError: no file, one of another form, or fewer than three prompts.
    """
    if name == "ours":
        if path is not None:
            raise SuiteError("--suite-file: the suite ours has its own prompts")
        return dict.fromkeys(all_prompts(), "")
    if path is None:
        raise SuiteError(f"--suite-file: name the prompts of {name}; they do not ship")
    found = _read_styles(path) if name == "hpd" else _read_table(path)
    if len(found) < 3:
        raise SuiteError(f"{path} has {len(found)} prompts; a judge needs three to rank among")
    return found


def _read_styles(folder: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for style in _STYLES:
        path = folder / f"{style}.json"
        try:
            prompts = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SuiteError(f"--suite-file: can't read {path}: {error}") from error
        if not isinstance(prompts, list) or not all(isinstance(text, str) for text in prompts):
            raise SuiteError(f"--suite-file: {path} is no list of prompts")
        for text in prompts:
            found.setdefault(" ".join(text.split()), style)
    return found


def _read_table(path: Path) -> dict[str, str]:
    if path.suffix.lower() not in (".csv", ".tsv"):
        raise SuiteError(f"--suite-file: {path} is neither .csv nor .tsv")
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    found: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, delimiter=delimiter)
            columns = {str(column).strip().lower(): column for column in rows.fieldnames or ()}
            prompt = columns.get("prompt") or columns.get("prompts")
            if prompt is None:
                raise SuiteError(f"{path} has no column Prompt or Prompts in its first line")
            for row in rows:
                category = row.get(columns["category"]) if "category" in columns else ""
                text = " ".join((row[prompt] or "").split())
                if text:
                    found.setdefault(text, (category or "").strip())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SuiteError(f"--suite-file: can't read {path}: {error}") from error
    return found


def as_written(prompt: str) -> str:
    """A prompt whose colons and bars mean nothing but themselves."""
    for mark in "\\:|^":
        prompt = prompt.replace(mark, f"\\{mark}")
    return prompt
