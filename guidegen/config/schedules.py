"""Settings that change in the course of a run, and a judge that may end it."""

from pydantic import BaseModel, Field, field_validator

from guidegen.config.values import pair


class ScheduleSettings(BaseModel, defer_build=True):
    """How the run changes as it goes on, and when its picture gets no better."""

    lr_warmup: float = Field(
        0.0, ge=0, le=0.9, description="Share of the run over which the learning rate rises."
    )
    cutout_scale_end: str | None = Field(
        None, description="LOW,HIGH: what cutout_scale has become by the last step."
    )
    coarse_to_fine: int = Field(
        0,
        ge=0,
        le=5,
        description="How often the resolution doubles in the first half.",
    )
    judge: str | None = Field(
        None, description="CLIP that does not guide, but says how good the picture is."
    )
    judge_every: int = Field(10, ge=1, le=1_000_000, description="Steps between two looks of it.")
    patience: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="End with the judge's best after so many looks without a better one.",
    )

    @field_validator("cutout_scale_end")
    @classmethod
    def _cutout_scale_end(cls, value: str | None) -> str | None:
        if value is not None and not 0.05 <= pair(value)[0] <= pair(value)[1] <= 1:
            raise ValueError(f"{value!r} is no range of sizes; write LOW,HIGH like 0.2,0.5")
        return value

    def last_cutout_sides(self) -> tuple[float, float] | None:
        """Smallest and largest side of cutouts by the last step; None where they stay."""
        return None if self.cutout_scale_end is None else pair(self.cutout_scale_end)
