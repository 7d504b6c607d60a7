"""What one picture has of its own among those that advance together."""

from typing import Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from guidegen.config.values import as_text, check_text
from guidegen.errors import PromptSyntaxError
from guidegen.prompt.grammar import Prompt, parse_scenes
from guidegen.prompt.references import (
    MAX_SEED,
    ImagePrompt,
    NoisePrompt,
    parse_image_prompt,
    parse_noise_prompt,
)

MAX_STARTS = 16_384


class Model(BaseModel):
    """Immutable; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class PictureConfig(Model, defer_build=True):
    """What one picture has of its own among those that advance together."""

    prompt: str = Field(
        "",
        description="What to draw: text:weight:stop, parts joined by |. It may be empty where an "
        "image prompt or a noise prompt is given.",
    )
    negative: tuple[str, ...] = Field((), description="What to push away from; may be repeated.")
    image_prompt: tuple[str, ...] = Field(
        (), description="Picture to resemble: PATH, PATH:WEIGHT or PATH:WEIGHT:STOP; repeatable."
    )
    noise_prompt: tuple[str, ...] = Field(
        (), description="Random direction in CLIP's space, SEED:WEIGHT; may be repeated."
    )
    seed: int = Field(0, ge=0, le=MAX_SEED, description="Fixes the random numbers of this picture.")
    pick: int | None = Field(
        None,
        ge=1,
        le=MAX_STARTS,
        description="Number of the start to go on from (guidegen starts).",
    )

    @field_validator("prompt")
    @classmethod
    def _prompt(cls, value: str) -> str:
        check_text("the prompt", value)
        if value.strip():
            parse_scenes(value)
        return value.strip()

    @field_validator("negative", mode="before")
    @classmethod
    def _one_or_more_texts(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("image_prompt", "noise_prompt", mode="before")
    @classmethod
    def _paths_and_seeds(cls, value: object) -> object:
        several = value if isinstance(value, list | tuple) else (value,)
        return tuple(map(as_text, several))

    @field_validator("image_prompt", "noise_prompt")
    @classmethod
    def _other_prompts(cls, value: tuple[str, ...], about: ValidationInfo) -> tuple[str, ...]:
        for text in value:
            check_text(f"the {str(about.field_name).replace('_', ' ')}", text)
            if about.field_name == "image_prompt":
                parse_image_prompt(text)
            else:
                parse_noise_prompt(text)
        return value

    @field_validator("negative")
    @classmethod
    def _negative(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            check_text("a negative prompt", text)
            if not text.strip():
                raise ValueError("a negative prompt is empty")
        return value

    @model_validator(mode="after")
    def _something_to_draw(self) -> Self:
        references: list[ImagePrompt | NoisePrompt] = [
            *map(parse_image_prompt, self.image_prompt),
            *map(parse_noise_prompt, self.noise_prompt),
        ]
        if not self.prompt and all(each.weight < 0 for each in references):
            raise PromptSyntaxError('the prompt is empty; try: guidegen "a red apple"')
        return self

    @property
    def scenes(self) -> tuple[tuple[Prompt, ...], ...]:
        """The parts of the prompt, scene by scene; an empty prompt is one scene without parts."""
        return parse_scenes(self.prompt) if self.prompt else ((),)

    @property
    def title(self) -> str:
        """The picture in words: its prompt, or what stands in place of one."""
        like = [f"like {parse_image_prompt(text).path.stem}" for text in self.image_prompt]
        return self.prompt or " ".join([*like, *(f"noise {text}" for text in self.noise_prompt)])
