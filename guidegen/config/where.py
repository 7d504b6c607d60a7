"""Settings that say where in the picture something is to happen."""

from pathlib import Path

from pydantic import BaseModel, Field, field_validator

from guidegen.config.values import check_text
from guidegen.prompt.grammar import parse_prompt
from guidegen.prompt.regions import Region, parse_region

_MOST = 16


class WhereSettings(BaseModel):
    """Regions with prompts of their own, and what of the init image stays."""

    region: tuple[str, ...] = Field(
        (),
        description="PROMPT=PLACE for a part of the picture: left, top-right, middle, a box "
        "0.5,0,1,1 or a mask's path; PLACE:WEIGHT; may be repeated.",
    )
    mask: Path | None = Field(
        None, description="Picture that is black where the init image is to stay."
    )
    outpaint: str | None = Field(
        None, description="LEFT,TOP,RIGHT,BOTTOM: pixels to draw around the init image."
    )

    palette: str | None = Field(
        None, description="Colours of all pixels: navy,red,#ffe0a0, or a picture to take six from."
    )

    @field_validator("palette")
    @classmethod
    def _palette(cls, value: str | None) -> str | None:
        if value is not None:
            check_text("the palette", value)
        return value

    @field_validator("region", mode="before")
    @classmethod
    def _one_or_more_regions(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("region")
    @classmethod
    def _region(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) > _MOST:
            raise ValueError(f"at most {_MOST} regions, not {len(value)}")
        for text in value:
            check_text("a region", text)
            parse_prompt(parse_region(text).text)
        return value

    @field_validator("outpaint")
    @classmethod
    def _outpaint(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = [part.strip() for part in value.split(",")]
        if len(parts) != 4 or not all(part.isdecimal() and len(part) < 6 for part in parts):
            raise ValueError(f"{value!r} is not LEFT,TOP,RIGHT,BOTTOM in pixels, like 128,0,128,0")
        if not any(map(int, parts)):
            raise ValueError("there is nothing to draw around the picture; name some pixels")
        return ",".join(str(int(part)) for part in parts)

    def regions(self) -> list[Region]:
        """The regions, read."""
        return [parse_region(text, number) for number, text in enumerate(self.region, 1)]

    def margins(self) -> tuple[int, int, int, int] | None:
        """Left, top, right and bottom pixels to draw around the init image."""
        if self.outpaint is None:
            return None
        left, top, right, bottom = map(int, self.outpaint.split(","))
        return left, top, right, bottom
