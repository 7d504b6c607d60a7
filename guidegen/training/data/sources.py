"""The packages that the captioned cut-outs come from, pinned, with their licences.

Every source is openly licensed without share-alike. `main` is MIT, Apache-2.0 or public domain:
what ships is made from it alone. `judge` (CC-BY-4.0) trains a second CLIP that only measures.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from guidegen.training.data.drawings import Drawings, FileDrawings, IconifyDrawings

Registry = Literal["npm", "pip", "apt"]
Naming = Literal["emoji", "codepoint", "slug", "freedesktop", "openclipart"]


@dataclass(frozen=True, kw_only=True)
class Package:
    """One file of a registry, at one version; `sha256` is of the file as downloaded."""

    name: str
    registry: Registry
    version: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Source:
    """A set of drawings in a package.

    Args:
        key: short name, used in the records.
        package: where it comes from.
        author: whom ATTRIBUTION.md names.
        licence: SPDX-like.
        style: a word or two that people would use for how it is drawn.
        naming: rule by which captions are made; see `guidegen.training.data.naming`.
        use: `main` or `judge`.
        folder: place of the drawings in the unpacked package.
        suffix: of the drawings' files; empty for an iconify collection.
    """

    key: str
    package: Package
    author: str
    licence: str
    style: str
    naming: Naming
    use: Literal["main", "judge"] = "main"
    folder: str = "package/icons.json"
    suffix: str = ""

    def open(self, unpacked: Path) -> Drawings:
        """The drawings, in the unpacked package."""
        if not self.suffix:
            return IconifyDrawings.open(unpacked / self.folder)
        return FileDrawings(unpacked / self.folder, self.suffix, bare=self.suffix != ".svg")


def _iconify(name: str, version: str, sha256: str) -> Package:
    return Package(name=f"@iconify-json/{name}", registry="npm", version=version, sha256=sha256)


MICROSOFT, GOOGLE, MOZILLA = "Microsoft", "Google", "Mozilla"

SOURCES: tuple[Source, ...] = (
    Source(
        key="noto",
        package=_iconify(
            "noto", "1.2.9", "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad"
        ),
        author=GOOGLE,
        licence="Apache-2.0",
        style="emoji",
        naming="emoji",
    ),
    Source(
        key="fluent-emoji-flat",
        package=_iconify(
            "fluent-emoji-flat",
            "1.2.6",
            "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
        ),
        author=MICROSOFT,
        licence="MIT",
        style="flat emoji",
        naming="emoji",
    ),
    Source(
        key="fluent-emoji-3d",
        package=Package(
            name="@lobehub/fluent-emoji-3d",
            registry="npm",
            version="1.1.0",
            sha256="c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
        ),
        author=MICROSOFT,
        licence="MIT",
        style="3d emoji",
        naming="codepoint",
        folder="package/assets",
        suffix=".webp",
    ),
    Source(
        key="fxemoji",
        package=_iconify(
            "fxemoji", "1.2.2", "f3e72b3c59d05e1db03b7e308d55c0d05bd7ba3f625a90da1b79313c12858eef"
        ),
        author=MOZILLA,
        licence="Apache-2.0",
        style="emoji",
        naming="emoji",
    ),
    Source(
        key="noto-v1",
        package=_iconify(
            "noto-v1", "1.2.5", "2bf62c26c2c2884aa99e90aec942cdaee17a5921f05690694f4978ad4b017c37"
        ),
        author=GOOGLE,
        licence="Apache-2.0",
        style="emoji old style",
        naming="emoji",
    ),
    Source(
        key="flat-color-icons",
        package=_iconify(
            "flat-color-icons",
            "1.2.3",
            "d8878a9b0f02d749bc8671eb7d47882eb711185cbcefbb365cbfb488773c4786",
        ),
        author="Icons8",
        licence="MIT",
        style="flat icon",
        naming="slug",
    ),
    Source(
        key="flat-ui",
        package=_iconify(
            "flat-ui", "1.2.3", "f7f83b80a26d83d93db6def7d44caaf6c211998bb8e248e511b98a33cf9cb655"
        ),
        author="Designmodo",
        licence="MIT",
        style="flat icon",
        naming="slug",
    ),
    Source(
        key="meteocons",
        package=_iconify(
            "meteocons", "1.2.4", "1c0b49c6375c0e35c3ed65db6e41e9811a0cbd2368c13ee27f870f60c6185ff0"
        ),
        author="Bas Milius",
        licence="MIT",
        style="weather icon",
        naming="slug",
    ),
    Source(
        key="tango",
        package=Package(
            name="tango-icon-theme",
            registry="apt",
            version="0.8.90-11",
            sha256="dff317aca52fde744b884a02dd9fc2702a0cc6aaecc22271b5abf6906cd90b94",
        ),
        author="the Tango Desktop Project",
        licence="PD",
        style="icon",
        naming="freedesktop",
        folder="usr/share/icons/Tango",
        suffix=".svg",
    ),
    Source(
        key="fluent-emoji",
        package=_iconify(
            "fluent-emoji",
            "1.2.7",
            "8044210dbf11e016d4de85f15d01a243423bd832457e7e2491df1b751c0e272b",
        ),
        author=MICROSOFT,
        licence="MIT",
        style="glossy emoji",
        naming="emoji",
    ),
    Source(
        key="openclipart",
        package=Package(
            name="openclipart-svg",
            registry="apt",
            version="1:0.18+dfsg-19",
            sha256="989712d90d57dfa3230049f553bb43b76c30ee4d4b8c5f6e106e33f7db5cbdc5",
        ),
        author="its contributors",
        licence="PD(CC-PDD)",
        style="clip art",
        naming="openclipart",
        folder="usr/share/openclipart/svg",
        suffix=".svg",
    ),
    Source(
        key="twemoji",
        package=_iconify(
            "twemoji", "1.2.5", "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7"
        ),
        author="Twitter, Inc. and other contributors",
        licence="CC-BY-4.0",
        style="flat emoji",
        naming="emoji",
        use="judge",
    ),
    Source(
        key="emojione",
        package=_iconify(
            "emojione", "1.2.3", "26a14f44284407e8bcde91799388dca2bfd91dbcd55a97f425524a1c5b73610e"
        ),
        author="the EmojiTwo contributors; Emoji One",
        licence="CC-BY-4.0",
        style="emoji",
        naming="emoji",
        use="judge",
    ),
    Source(
        key="streamline-emojis",
        package=_iconify(
            "streamline-emojis",
            "1.2.4",
            "5dac87c876b322500989828c5823143e0100d78881627a2e4081a4b897cbfdbc",
        ),
        author="Streamline",
        licence="CC-BY-4.0",
        style="cartoon emoji",
        naming="emoji",
        use="judge",
    ),
    Source(
        key="kameleon",
        package=_iconify(
            "streamline-kameleon-color",
            "1.2.2",
            "5f972d986afb340d8a45d7a16e767f99f91fdd94db53e46a78c79847212aed7b",
        ),
        author="Streamline",
        licence="CC-BY-4.0",
        style="flat icon",
        naming="slug",
        use="judge",
    ),
    Source(
        key="stickies",
        package=_iconify(
            "streamline-stickies-color",
            "1.2.2",
            "e96b8b2bbe1efde22272c420a75024b4b2c7e224ec1f323c93a421a07410971e",
        ),
        author="Streamline",
        licence="CC-BY-4.0",
        style="sticker",
        naming="slug",
        use="judge",
    ),
)

# CLDR names and keywords of all emoji, and their groups
EMOJI_GROUPS = Package(
    name="emojibase-data",
    registry="npm",
    version="17.0.0",
    sha256="d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
)
# more keywords, as people type them
EMOJI_KEYWORDS = Package(
    name="emojilib",
    registry="npm",
    version="4.0.3",
    sha256="7f9a6b43cff31d18985b7d65d11faba5bd971cbcc60020cf6d09322fbaaaf303",
)


def by_key() -> dict[str, Source]:
    """Sources by their short names."""
    return {source.key: source for source in SOURCES}
