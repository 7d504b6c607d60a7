"""Write docs/cli.md from the command line itself.

python docs/generate_cli.py            writes it
python docs/generate_cli.py --check    only says whether it is current; exit code 1 if not
"""

import re
import sys
from pathlib import Path

PAGE = Path(__file__).with_name("cli.md")
NOTE = "<!-- written by docs/generate_cli.py; change the help texts in guidegen/cli instead -->\n\n"


def page() -> str:
    """The whole page, as Markdown."""
    from guidegen.cli.main import app

    text = app.generate_docs(output_format="markdown", recursive=True)
    # examples stand in the help as indented lines, which Markdown would run together
    text = re.sub(r"(?m)((?:^ {2}(?![ *-]).+\n)+)", _block, text)
    text = re.sub(r"\n## Table of Contents\n.*?(?=\n\*\*Commands|\n## )", "\n", text, flags=re.S)
    return NOTE + re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def _block(found: re.Match[str]) -> str:
    lines = "".join(f"  {line}\n" for line in found[0].splitlines())
    return f"\n{lines}\n"


if __name__ == "__main__":
    if "--check" not in sys.argv:
        PAGE.write_text(page(), encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != page():
        sys.exit("docs/cli.md is out of date; run: python docs/generate_cli.py")
