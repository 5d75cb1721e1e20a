"""A moving picture and a tone, as bytes: no camera and no microphone are needed.

Picture and tone depend on their number alone, but for the clock that is drawn in. The ball touches the ground
once a second, and with it a note begins: so you see and hear whether both are in step.
"""

from __future__ import annotations

import array
import functools
import io
import math
import random
import sys
import time
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont, ImageOps

SIZE = (640, 360)
"""Pixels of a picture as it is drawn."""

SOUND_RATE = 16_000
"""Samples per second; one is 16 bits, little-endian."""

BLOCK_SECONDS = 0.02
BLOCK_SAMPLES = round(SOUND_RATE * BLOCK_SECONDS)

NOTES = (440.0, 523.25, 659.25, 587.33)
"""Hertz; one of them each second."""

UPLOADED = ("JPEG", "PNG", "WEBP")
MOST_PIXELS = 25_000_000
"""Of a picture that somebody sends: unpacked, each has 3 or 4 bytes."""
MOST_SCANS = 30
"""Of a JPEG, about ten in a progressive one. Each is a pass over all pixels, and may come in 40 bytes."""


class Quality(NamedTuple):
    """How a picture is sent.

    Attributes:
        name: for those who watch.
        shrink: by how much width and height are divided.
        jpeg: Pillow's quality, 1 to 95.
    """

    name: str
    shrink: int
    jpeg: int


QUALITIES = (
    Quality("best", 1, 90),
    Quality("good", 1, 77),
    Quality("fair", 1, 50),
    Quality("low", 2, 80),
    Quality("tiny", 4, 90),
)
"""From the best to the smallest; each has about half the bytes of the one before."""


class NoPicture(ValueError):
    """Bytes that aren't a picture, or one that is too large; the message is for whoever sent them."""


class Film:
    """Draws the pictures of a film.

        film = Film()
        print(film.picture(1, time.time()).size)

    Args:
        background: what is behind the ball; a landscape by default. See `load_background`.
    """

    def __init__(self, background: Image.Image | None = None) -> None:
        self.background = background or landscape()

    def picture(self, number: int, at: float, *, rate: float = 30) -> Image.Image:
        """Draw one picture.

        Args:
            number: from 1 on; it is drawn in, and says where the ball is.
            at: the clock that is drawn in, in seconds since 1970.
            rate: pictures per second.

        Returns:
            An RGB picture of SIZE.
        """
        picture = self.background.copy()
        pen = ImageDraw.Draw(picture)
        beat = number / rate % 1
        width, height = SIZE
        across = abs(number / rate / 5 % 2 - 1) * (width - 120) + 60
        up = 4 * beat * (1 - beat) * 190
        pen.ellipse((across - 26, height - 26, across + 26, height - 16), fill=(30, 50, 40))
        pen.ellipse(_around(across, height - 50 - up, 28), fill=(240, 90, 60), outline=(120, 30, 20), width=2)
        pen.ellipse(_around(across - 9, height - 60 - up, 7), fill=(255, 190, 170))
        clock = time.strftime("%H:%M:%S", time.localtime(at)) + f".{int(at * 1000) % 1000:03}"
        pen.rectangle((12, 12, 204, 92), fill=(16, 20, 28))
        pen.text((22, 14), f"{number:,}", font=_font(34), fill=(255, 255, 255))
        pen.text((22, 55), clock, font=_font(28), fill=(255, 220, 120))
        return picture


def encode(picture: Image.Image, quality: Quality) -> bytes:
    """A picture as JPEG."""
    file = io.BytesIO()
    if quality.shrink > 1:
        picture = picture.reduce(quality.shrink)
    picture.save(file, "JPEG", quality=quality.jpeg)
    return file.getvalue()


def tone(number: int) -> bytes:
    """A block of sound, BLOCK_SECONDS long, of a tune of four notes that fade.

    Args:
        number: which one, from 0 on.

    Returns:
        BLOCK_SAMPLES samples of 16 bits, little-endian.
    """
    return _tone(number % round(len(NOTES) / BLOCK_SECONDS))


@functools.cache
def _tone(number: int) -> bytes:
    samples = array.array("h", bytes(2 * BLOCK_SAMPLES))
    for place in range(BLOCK_SAMPLES):
        at = number * BLOCK_SECONDS + place / SOUND_RATE
        beat = at % 1
        loud = min(1, 200 * beat) * math.exp(-4 * beat)
        pitch = NOTES[int(at) % len(NOTES)]
        wave = math.sin(math.tau * pitch * beat) + 0.3 * math.sin(2 * math.tau * pitch * beat)
        samples[place] = int(9000 * loud * wave)
    if sys.byteorder == "big":
        samples.byteswap()
    return samples.tobytes()


def landscape() -> Image.Image:
    """The background, if there is no other: a sky, hills, and enough grain to be some work for JPEG."""
    sky = ImageOps.colorize(Image.linear_gradient("L").resize(SIZE), (70, 120, 190), (230, 235, 240))
    pen = ImageDraw.Draw(sky)
    width, height = SIZE
    for colour, base, rise, wave in (
        ((110, 140, 150), 230, 30, 90),
        ((80, 120, 100), 265, 24, 60),
        ((70, 130, 80), 325, 8, 75),
    ):
        ridge = [(x, base - rise * math.sin(x / wave + base)) for x in range(0, width + 8, 8)]
        pen.polygon([(0, height), *ridge, (width, height)], fill=colour)
    grain = Image.frombytes("L", SIZE, random.Random(1).randbytes(width * height)).convert("RGB")
    return Image.blend(sky, grain, 0.07)


def load_background(path: Path) -> Image.Image:
    """Read a picture that somebody has sent, and cut it to SIZE.

    Raises:
        NoPicture: it isn't a JPEG, PNG or WebP, it is damaged, or it has too many pixels.
    """
    try:
        with Image.open(path, formats=UPLOADED) as picture:
            if picture.width * picture.height > MOST_PIXELS:  # known before anything is unpacked
                raise NoPicture(f"{picture.width} × {picture.height} pixels are too many")
            if picture.format in ("JPEG", "MPO") and path.read_bytes().count(b"\xff\xda") > MOST_SCANS:
                raise NoPicture("it has too many scans")
            picture.draft("RGB", SIZE)
            upright = ImageOps.exif_transpose(picture)
            return ImageOps.fit(upright.convert("RGB"), SIZE)
    except NoPicture:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise NoPicture("it has too many pixels") from error
    except Exception as error:  # damaged files make Pillow raise almost anything
        raise NoPicture("this isn't a JPEG, PNG or WebP picture, or it is damaged") from error


def _around(x: float, y: float, radius: float) -> tuple[float, float, float, float]:
    return x - radius, y - radius, x + radius, y + radius


@functools.cache
def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
