"""`python -m guidegen.training`: make the embedded models, or the same from a user's own images."""

from __future__ import annotations

import logging
import sys

from cyclopts import App

from guidegen.errors import GuidegenError
from guidegen.training.clip_commands import (
    average,
    curves,
    distil,
    evaluate,
    robust,
    slim,
    train,
)
from guidegen.training.image_commands import predictor, upscaler, vqgan

app = App(name="guidegen.training", help="Make the small models that guidegen embeds.")
app.command("guidegen.training.data.packages:rebuild", name="data", help="Rebuild the pictures.")
app.command(
    "guidegen.training.data.atlas:build_atlas", name="patches", help="Make the collage's patches."
)

app.command(
    "guidegen.training.data.nouns:build_nouns", name="nouns", help="Write the nouns of WordNet."
)
for _command in (
    distil,
    train,
    robust,
    average,
    slim,
    curves,
    evaluate,
    vqgan,
    predictor,
    upscaler,
):
    app.command(_command)


def main() -> None:
    """Run the command line; an error of ours is one line and its exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    try:
        app()
    except GuidegenError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
