"""What a PNG tells about itself: how it was made, and that a machine made it. Torch-free.

Three texts are written, each for another reader:

    parameters           the lines that AUTOMATIC1111's web UI writes, which most tools can read
    guidegen             JSON: the whole config, scores, models, version; read back by `read`
    XML:com.adobe.xmp    XMP with IPTC's digital source type, which marks AI pictures
"""

import html
import io
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guidegen.config import RunConfig, make_config
from guidegen.errors import InputImageError
from guidegen.media.files import opened
from guidegen.runs import exif
from guidegen.utils.parse import parse_json
from guidegen.utils.text import shell_command
from guidegen.utils.versions import own_version

if TYPE_CHECKING:
    from PIL import Image

KEY = "guidegen"
_XMP_KEY = "XML:com.adobe.xmp"
_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/"
# Where the picture lay says nothing about how it was made, and may say who made it.
_PRIVATE = frozenset({"out"})
# What `read` takes from a file that anybody may have written: characters of our text, entries of a
# table, characters of a name.
_LONGEST, _MOST, _LONGEST_NAME = 1 << 20, 256, 512
# XML 1.0 has no way to write these characters, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Record:
    """How a picture was made, as its file tells.

    Attributes:
        config: the settings; `out` is the default, whatever it was.
        scores: name -> figure.
        models: name -> digest of the weights.
        version: of the guidegen that made it.
    """

    config: RunConfig
    scores: dict[str, float] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    version: str = ""


def command(config: RunConfig) -> str:
    """The shell command that makes the picture again: every setting that is not the default."""
    words = ["guidegen", "generate"]
    positional = [config.prompt] if config.prompt else []
    if config.prompt.startswith("-"):
        positional.insert(0, "--")
    else:
        words, positional = [*words, *positional], []
    plain = make_config({"prompt": "a prompt", "preset": config.preset})
    for name, info in RunConfig.model_fields.items():
        value = getattr(config, name)
        default = info.get_default(call_default_factory=True)
        # a default is named, too, where the preset says otherwise
        if name == "prompt" or value == default == getattr(plain, name) or value is None:
            continue
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{'' if value else 'no-'}{flag}")
            continue
        for item in value if isinstance(value, tuple) else (value,):
            text = str(item)
            words += [f"--{flag}={text}"] if text.startswith("-") else [f"--{flag}", text]
    return shell_command([*words, *positional])


def captions(config: RunConfig) -> dict[str, str]:
    """What a video's container says of itself; nothing if `config.metadata` is off."""
    if not config.metadata:
        return {}
    private = {name: RunConfig.model_fields[name].default for name in _PRIVATE}
    return {
        "title": config.title,
        "comment": command(config.model_copy(update=private)),
        "description": f"AI-generated with guidegen {own_version()}",
    }


def save_png(
    image: "Image.Image",
    config: RunConfig,
    *,
    scores: Mapping[str, float] | None = None,
    models: Mapping[str, str] | None = None,
    version: str | None = None,
) -> bytes:
    """Encode a picture as PNG, with its metadata unless `config.metadata` is off.

    Args:
        image: the picture.
        config: the resolved settings.
        scores: name -> figure of the finished picture.
        models: name -> digest of the weights.
        version: of guidegen; None is the running one.
    """
    return encode(image, config, ".png", scores=scores, models=models, version=version)


def encode(
    image: "Image.Image",
    config: RunConfig,
    suffix: str,
    *,
    scores: Mapping[str, float] | None = None,
    models: Mapping[str, str] | None = None,
    version: str | None = None,
) -> bytes:
    """As `save_png`, in the format of a suffix: .png, .jpg, .jpeg or .webp."""
    lines = record = packet = ""
    if config.metadata:
        version = version or own_version()
        data = {
            "version": version,
            "config": config.model_dump(mode="json", exclude=set(_PRIVATE)),
            "scores": dict(scores or {}),
            "models": dict(models or {}),
        }
        lines = parameters(config, image.size, version)
        # Bytes of a path that are not UTF-8 become JSON escapes.
        record = json.dumps(data, ensure_ascii=False).encode(errors="backslashreplace").decode()
        packet = xmp(config, version)
    if suffix in exif.FORMATS:
        return exif.encode(image, suffix, lines=lines, record=record, xmp=packet)
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for name, text in (("parameters", lines), (KEY, record), (_XMP_KEY, packet)):
        if text:
            info.add_itxt(name, text)
    # Pillow writes the image's own `info` (text of a loaded init image) only if told to.
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def parameters(config: RunConfig, size: tuple[int, int], version: str) -> str:
    """The lines that AUTOMATIC1111's web UI would write.

    Args:
        config: the resolved settings.
        size: (width, height) in pixels.
        version: of guidegen.
    """
    settings: dict[str, object] = {
        "Steps": config.steps,
        "Sampler": config.optimizer,
        "Seed": config.seed,
        "Size": f"{size[0]}x{size[1]}",
        "Model": config.generator,
        "Perceptor": ", ".join(config.perceptor),
        "Learning rate": config.lr,
        "Cutouts": config.cutouts,
        "Template": config.template or None,
        "Version": f"guidegen {version}",
    }
    line = ", ".join(f"{k}: {_quoted(v)}" for k, v in settings.items() if v is not None)
    lines = [config.prompt]
    if config.negative:
        lines.append("Negative prompt: " + ", ".join(config.negative))
    return "\n".join([*lines, line])


def _quoted(value: object) -> str:
    """Values that hold a separator stand in JSON's quotes."""
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if re.search(r'[,:"\n]', text) else text


def xmp(config: RunConfig, version: str) -> str:
    """An XMP packet with IPTC's digital source type and the AI properties of IPTC 2025.1."""
    kind = (
        "compositeWithTrainedAlgorithmicMedia" if config.init_image else "trainedAlgorithmicMedia"
    )
    properties = {
        "Iptc4xmpExt:DigitalSourceType": _SOURCE_TYPE + kind,
        "Iptc4xmpExt:AISystemUsed": f"guidegen ({config.generator}, {', '.join(config.perceptor)})",
        "Iptc4xmpExt:AISystemVersionUsed": version,
        "Iptc4xmpExt:AIPromptInformation": config.prompt,
        "xmp:CreatorTool": f"guidegen {version}",
    }
    body = "\n".join(
        f"   <{name}>{html.escape(_NOT_XML.sub('�', value), quote=False)}</{name}>"
        for name, value in properties.items()
    )
    return f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/">
{body}
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


def read(path: Path) -> Record:
    """Read how a picture was made.

    Anybody may have written the file: what is returned has been validated, but its texts may hold
    any character; show them through `guidegen.utils.text.printable`.

    Raises:
        InputImageError: the file can't be read, is no picture of a kind that guidegen writes, or
            guidegen left no metadata in it.
    """
    text = _text(path)
    if text is None:
        raise InputImageError(
            f"{path} has no guidegen metadata: it was made by something else or without metadata, "
            "or a program took it out"
        )
    try:
        data = _table(parse_json(text))
        settings = _table(data["config"])
        return Record(
            # a place to write to is no property of a picture
            config=make_config({k: v for k, v in settings.items() if k not in _PRIVATE}),
            scores={_name(name): _figure(value) for name, value in _table(data["scores"]).items()},
            models={_name(name): _name(value) for name, value in _table(data["models"]).items()},
            version=_name(data["version"]),
        )
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        why = " ".join(str(error).split())[:200]
        raise InputImageError(f"{path} has guidegen metadata that can't be read: {why}") from None


def _table(value: object) -> dict[str, Any]:
    if not isinstance(value, dict) or len(value) > _MOST:
        raise ValueError(f"no table of up to {_MOST} entries where there should be one")
    return value


def _name(value: object) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_NAME:
        raise ValueError("a name is no short text")
    return value


def _figure(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("a score is no number")
    return float(value)


def _text(path: Path) -> str | None:
    with opened(path, "picture") as image:
        if image.format in exif.FORMATS.values():
            found = exif.read(image)
        elif image.format != "PNG":
            raise InputImageError(
                f"{path} is {image.format}; guidegen's pictures are PNG, JPEG or WebP"
            )
        else:
            # Our text stands before the pixels; a program that saved it again may put it after.
            found = image.info.get(KEY) or getattr(image, "text", {}).get(KEY)
    if found is None:
        return None
    if not isinstance(found, str) or len(found) > _LONGEST:
        raise InputImageError(
            f"{path} has guidegen metadata of {len(found):,} characters; that is no prompt"
        )
    return found
