"""Lists of prompts that pictures are judged by."""

import csv
from pathlib import Path

from tests.benchmarks.judging import all_prompts

SUITES = ("ours", "drawbench", "parti")


class SuiteError(Exception):
    """A suite, or what is to be done with it, can't be used; one line."""


def read_suite(name: str, path: Path | None) -> dict[str, str]:
    """Prompt -> its category, "" where there is none, in order; a prompt that repeats counts once.

    Args:
        name: of `SUITES`.
        path: .csv or .tsv with a head, of the suites that are not ours.

    Raises:
        SuiteError: no file, one of another form, or fewer than three prompts.
    """
    if name == "ours":
        if path is not None:
            raise SuiteError("--suite-file: the suite ours has its own prompts")
        return dict.fromkeys(all_prompts(), "")
    if path is None:
        raise SuiteError(f"--suite-file: name the .csv or .tsv of {name}; it does not ship")
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
    if len(found) < 3:
        raise SuiteError(f"{path} has {len(found)} prompts; a judge needs three to rank among")
    return found


def as_written(prompt: str) -> str:
    """A prompt whose colons and bars mean nothing but themselves."""
    for mark in "\\:|^":
        prompt = prompt.replace(mark, f"\\{mark}")
    return prompt
