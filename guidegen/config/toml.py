"""Settings as a TOML file."""

import json
from pathlib import Path
from typing import Annotated, Any

from guidegen.config.make import make_config, unknown_setting
from guidegen.config.run import RunConfig
from guidegen.errors import ConfigError
from guidegen.utils.parse import parse_toml

Overrides = Annotated[dict[str, Any], "RunConfig fields that the user named"]


def read_toml(path: Path) -> Overrides:
    """Settings from a TOML file whose keys are RunConfig's fields.

    Raises:
        ConfigError: the file is missing, no TOML, or a setting is unknown or wrong.
    """
    try:
        # not only ordinary files: a shell's <(...) is a pipe
        values = parse_toml(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ConfigError(f"no config file at {path}") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"can't read the config file {path}: {error}") from None
    for key in values:
        if key not in RunConfig.model_fields:
            raise ConfigError(f"{path}: {unknown_setting(key)}")
    try:
        # the command line takes seeds that no config has
        make_config({"prompt": "a prompt", **values, "seed": 0})
    except ConfigError as error:
        in_file = type(error)(f"{path}: {error}")
        in_file.field = error.field
        raise in_file from None
    return values


def to_toml(config: RunConfig) -> str:
    """The config as a TOML file that `read_toml` takes back; None fields are left out."""
    lines = []
    for key, value in config.model_dump(mode="json", exclude_none=True).items():
        # JSON strings, numbers, booleans and lists of strings are TOML as they stand, but for DEL.
        text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        lines.append(f"{key} = {text}")
    return "\n".join(lines) + "\n"
