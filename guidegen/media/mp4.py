"""Encoded frames from one MP4 into another, without encoding them again.

Straight through PyAV: imageio's plugin knows frames only, no packets.
"""

from pathlib import Path

import av
from av.bitstream import BitStreamFilterContext

from guidegen.media.video_encoder import Encoder


def trim(path: Path) -> None:
    """Cut a fragmented MP4 off after its last whole fragment, in place.

    libavformat opens no file that ends within the head of a fragment. Fragments are written whole,
    but a machine that stops, or a disk that is full, may leave less.
    """
    end = position = 0
    with path.open("rb+") as file:
        size = path.stat().st_size
        # boxes of ISO/IEC 14496-12, section 4.2: length, four letters, content
        while len(head := file.read(8)) == 8:
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            if length < 8 or position + length > size:
                break
            position += length
            if kind != b"moof":  # the head of a fragment counts only with its content
                end = position
            file.seek(position)
        if end and end < size:
            file.truncate(end)


def finish(source: Path, target: Path) -> int:
    """Make of a fragmented MP4, whole or cut off, one whose index stands in front.

    Args:
        source: the fragmented one.
        target: the new file; its name may have any suffix.

    Returns:
        How many frames there are.
    """
    count = 0
    with (
        av.open(str(source)) as old,
        av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"}) as new,
    ):
        new.metadata.update(old.metadata)
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        for packet in old.demux(stream):
            if packet.dts is None or packet.is_corrupt:  # the end, or cut off
                continue
            packet.stream = copy
            new.mux(packet)
            count += 1
    return count


def prepend(source: Path, encoder: Encoder, *, size: tuple[int, int], before: int) -> int:
    """Put the frames of an earlier file in front of those to come.

    Args:
        source: an MP4 of the same frame rate, whose frames need no later ones.
        encoder: has got no frame yet.
        size: (height, width) of the frames to come; a file of another size is left out.
        before: only frames of a lower number.

    Returns:
        How many frames were taken.
    """
    count = 0
    with av.open(str(source)) as old:
        stream = old.streams.video[0]
        ticks = float(1 / (stream.time_base or 1)) / encoder.fps  # of a frame
        even = (size[0] + size[0] % 2, size[1] + size[1] % 2)
        if (stream.height, stream.width) != even:
            return 0
        encoder.begin(*size)
        # a muxer takes packets of files and of encoders, but not of both in one stream
        filtered = BitStreamFilterContext("h264_mp4toannexb", stream)
        for packet in old.demux(stream):
            if packet.dts is None or packet.pts is None or packet.is_corrupt:
                continue
            if round(packet.pts / ticks) >= before:
                break
            for part in filtered.filter(packet):
                part.stream = encoder.stream
                encoder.container.mux(part)
            count += 1
    return count
