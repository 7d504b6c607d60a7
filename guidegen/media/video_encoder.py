"""Frames in, a video file out: MP4, GIF and WebP, each frame as it comes, none kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import imageio.v3 as iio
import numpy as np
from imageio.plugins.pyav import PyAVPlugin
from numpy.typing import NDArray

Frame = NDArray[np.uint8]  # [H, W, 3], RGB


@dataclass(frozen=True)
class Kind:
    """A way to write frames down.

    Attributes:
        suffix: of its files.
        container: libavformat's name of it.
        codec: libavcodec's name of the encoder.
        pixel_format: in which the encoder takes frames.
        container_options: of the muxer.
        codec_options: of the encoder.
        key_seconds: seconds between two frames that can be shown without the ones before.
        even: sides must be even, since colour is stored at half resolution.
        keeps_metadata: whether title and comment can be stored.
    """

    suffix: str
    container: str
    codec: str
    pixel_format: str
    container_options: Mapping[str, str] = field(default_factory=dict)
    codec_options: Mapping[str, str] = field(default_factory=dict)
    key_seconds: float = 10
    even: bool = False
    keeps_metadata: bool = False


_H264: dict[str, Any] = {
    "container": "mp4",
    "codec": "libx264",
    "pixel_format": "yuv420p",
    "even": True,
    "keeps_metadata": True,
}
MP4 = Kind(
    suffix=".mp4",
    **_H264,
    container_options={"movflags": "+faststart"},
    codec_options={"crf": "18"},
)
# Each frame is a fragment that is written at once, so a file that ends anywhere plays up to there.
# zerolatency: no frame waits in the encoder for later ones; repeat-headers: what is appended to
# another encoder's frames brings its own parameters.
LIVE_MP4 = Kind(
    suffix=".mp4",
    **_H264,
    container_options={
        "movflags": "frag_every_frame+empty_moov+default_base_moof",
        "flush_packets": "1",
    },
    codec_options={
        "crf": "18",
        "preset": "veryfast",
        "tune": "zerolatency",
        "threads": "1",
        "x264-params": "repeat-headers=1",
    },
    key_seconds=1,
)
GIF = Kind(suffix=".gif", container="gif", codec="gif", pixel_format="pal8")
WEBP = Kind(
    suffix=".webp",
    container="webp",
    codec="libwebp_anim",
    pixel_format="bgra",
    container_options={"loop": "0"},
    codec_options={"quality": "85"},
)
KINDS = {"mp4": MP4, "gif": GIF, "webp": WEBP}

# Each frame gets the 256 colours that suit it; a palette for all frames needs all of them at once.
_PALETTE = (
    {
        "copy": ("split", ""),
        "palette": ("palettegen", "stats_mode=single"),
        "paint": ("paletteuse", "new=1:dither=bayer:bayer_scale=4"),
    },
    [
        ("video_in", "copy", 0, 0),
        ("copy", "palette", 0, 0),
        ("copy", "paint", 1, 0),
        ("palette", "paint", 0, 1),
        ("paint", "video_out", 0, 0),
    ],
)


class Encoder:
    """Writes frames of one size.

    Args:
        file: takes the bytes; an unbuffered one has all frames so far when the process is killed.
        kind: the format.
        fps: frames per second.
        metadata: "title", "comment", "description"; left out where the format has no place.
    """

    def __init__(
        self, file: BinaryIO, kind: Kind, fps: float, *, metadata: Mapping[str, str] | None = None
    ) -> None:
        self.kind, self.fps = kind, fps
        self._writer = iio.imopen(
            file,
            "w",
            plugin=PyAVPlugin,
            extension=kind.suffix,
            container=kind.container,
            options=dict(kind.container_options),
        )
        self._begun = False
        if metadata and kind.keeps_metadata:
            # A NUL would end the text; the muxer takes no other exception.
            self._writer.container_metadata.update(metadata)

    @property
    def container(self) -> Any:
        """The PyAV container beneath, for packets that are encoded already."""
        return self._writer._container

    @property
    def stream(self) -> Any:
        """The PyAV stream beneath. imageio's plugin has no way to set an encoder's options."""
        return self._writer._video_stream

    def begin(self, height: int, width: int) -> None:
        """Fix the size; the first frame does it where nobody does."""
        self._writer.init_video_stream(
            self.kind.codec,
            fps=float(self.fps),
            pixel_format=self.kind.pixel_format,
            max_keyframe_interval=max(1, round(self.kind.key_seconds * self.fps)),
        )
        stream = self.stream
        stream.width, stream.height = self._size(height, width)[::-1]
        stream.options = dict(self.kind.codec_options)
        if self.kind.even:
            # What the conversion from RGB does: ITU-R BT.601, limited range. Told to players, who
            # else guess by the size.
            stream.codec_context.colorspace, stream.codec_context.color_range = 6, 1
        if self.kind.pixel_format == "pal8":
            stream.pix_fmt = "rgb24"  # what the filters are given; they make pal8 of it
            self._writer.set_video_filter(filter_graph=_PALETTE)
            stream.pix_fmt = "pal8"
        self._begun = True

    def add(self, frame: Frame, number: int | None = None) -> None:
        """Encode a frame.

        Args:
            frame: [H, W, 3]; the last row and column are repeated where sides must be even.
            number: its place in the video, from 0 and rising; None follows the one before.
        """
        height, width = frame.shape[:2]
        if not self._begun:
            self.begin(height, width)
        if number is not None:
            self._writer.frames_written = number
        full = self._size(height, width)
        if full != (height, width):
            pad = ((0, full[0] - height), (0, full[1] - width), (0, 0))
            frame = np.pad(frame, pad, mode="edge")
        self._writer.write_frame(frame)

    def close(self) -> None:
        """Write what the encoder still holds, and the end of the file. `file` stays open."""
        self._writer.close()

    def _size(self, height: int, width: int) -> tuple[int, int]:
        return (height + height % 2, width + width % 2) if self.kind.even else (height, width)
