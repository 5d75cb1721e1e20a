"""The core of the film: pictures and sound as bytes, their messages, a watcher's pace on a link on paper."""

from __future__ import annotations

import array
import io
import itertools
import random
import statistics
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from apps.video.messages import PICTURE, BadRequest, Clock, Probe, Shown, Want, pack, read_request, unpack
from apps.video.pace import Pace
from apps.video.source import (
    BLOCK_SAMPLES,
    BLOCK_SECONDS,
    QUALITIES,
    SIZE,
    Film,
    NoPicture,
    encode,
    load_background,
    tone,
)

RATE = 30
BYTES = [60_000, 30_000, 15_000, 7_200, 3_400]
"""Of a picture in each quality, as `test_each_quality_has_about_half_the_bytes` finds them."""


def test_a_picture_depends_on_its_number_and_its_clock_alone() -> None:
    one, two = Film(), Film()
    assert one.picture(7, 1.8e9).tobytes() == two.picture(7, 1.8e9).tobytes()
    assert one.picture(7, 1.8e9).tobytes() != one.picture(8, 1.8e9).tobytes()
    assert one.picture(7, 1.8e9).tobytes() != one.picture(7, 1.8e9 + 0.001).tobytes()


def test_each_quality_has_about_half_the_bytes() -> None:
    picture = Film().picture(10, 1.8e9)
    sizes = [len(encode(picture, quality)) for quality in QUALITIES]
    assert sizes == pytest.approx(BYTES, rel=0.1)
    for quality in QUALITIES:
        with Image.open(io.BytesIO(encode(picture, quality))) as decoded:
            assert decoded.size == (SIZE[0] // quality.shrink, SIZE[1] // quality.shrink)


def test_a_note_begins_when_the_ball_touches_the_ground() -> None:
    def loudness(block: int) -> int:
        return max(map(abs, array.array("h", tone(block))))

    blocks = round(1 / BLOCK_SECONDS)
    assert len(tone(0)) == 2 * BLOCK_SAMPLES
    for second in range(3):
        assert loudness(second * blocks) > 4 * loudness((second + 1) * blocks - 1)
    ground = SIZE[1] - 30
    touching = Film().picture(2 * RATE, 1.8e9, rate=RATE).getpixel((372, ground))  # after two seconds
    high = Film().picture(2 * RATE + RATE // 2, 1.8e9, rate=RATE).getpixel((320, ground))
    assert touching == (240, 90, 60) != high


def test_messages_keep_what_is_in_them() -> None:
    message = pack(PICTURE, 3, 2**32 + 5, 1.8e9 + 0.25, b"jpeg")
    assert unpack(message) == (PICTURE, 3, 5, 1.8e9 + 0.25, b"jpeg")
    with pytest.raises(ValueError, match="15 bytes are no header of 16"):
        unpack(message[:15])


def test_requests_are_read_or_refused_in_words() -> None:
    assert read_request('{"type": "shown", "number": 3}') == Shown(3)
    assert read_request('{"type": "want"}') == Want()
    assert read_request('{"type": "clock", "mine": 1}') == Clock(1)
    assert read_request('{"type": "probe", "number": 1}') == Probe(1)
    refused: dict[str | bytes, str] = {
        b"\x00": "not binary",
        "": "can't be understood",
        "hello": "malformed",
        "[" * 900: "can't be understood",
        "x" * 1001: "at most 1,000 characters",
        '{"type": "shown"}': "number",
        '{"type": "shown", "number": "3"}': "Expected `int`",
        '{"type": "want", "quality": 5}': "<= 4",
        '{"type": "want", "quality": -1}': ">= 0",
        '{"type": "want", "colour": 1}': "colour",
        '{"type": "clock", "mine": NaN}': "malformed",
        '{"type": "buy"}': "'buy'",
        "\ud800": "can't be understood",
    }
    for bad, words in refused.items():
        with pytest.raises(BadRequest, match=words):
            read_request(bad)


class Frame(NamedTuple):
    """A picture that has arrived: when, how old, and in which quality."""

    at: float
    age: float
    quality: int


class Link:
    """A link on paper: pictures wait for its rate, and take its delay.

    Args:
        rate: bytes per second; it may be changed.
        delay: one way, in seconds.
        jitter: seconds at most that a picture takes longer.
    """

    def __init__(self, *, rate: float, delay: float = 0.0, jitter: float = 0.0) -> None:
        self.rate, self.delay, self.jitter = rate, delay, jitter
        self.pace = Pace(RATE)
        self.now = 0.0
        self._free_at = 0.0
        self._number = 0
        self._coming: list[tuple[float, int, float, int]] = []
        self._chance = random.Random(1)
        self._probes: list[tuple[float, int]] = []

    def _probe(self) -> None:
        self.pace.probed(self._number, self.now)
        seconds = 2 * self.delay + self._chance.uniform(0, self.jitter)
        self._probes.append((max(self.now, self._free_at) + seconds, self._number))

    def run(self, seconds: float) -> list[Frame]:
        """Let a film run."""
        frames: list[Frame] = []
        end, drawn, fresh = self.now + seconds, 0.0, False
        while self.now < end:
            self.now += 0.002
            while self._probes and self._probes[0][0] <= self.now:
                self.pace.answered(self._probes.pop(0)[1], self.now)
            while self._coming and self._coming[0][0] <= self.now:
                _, number, made, quality = self._coming.pop(0)
                self.pace.shown(number, self.now)
                frames.append(Frame(self.now, self.now - self.delay - made, quality))
            if self.now - drawn >= 1 / RATE:
                self._number, drawn, fresh = self._number + 1, self.now, True
            if fresh and self.pace.has_room(self.now):
                fresh = False
                if self.pace.is_probe_due(self.now):
                    self._probe()
                quality = self.pace.quality
                self.pace.sent(self._number, quality, self.now)
                self._free_at = max(self._free_at, self.now) + BYTES[quality] / self.rate
                arrives = self._free_at + 2 * self.delay + self._chance.uniform(0, self.jitter)
                last = self._coming[-1][0] if self._coming else 0.0
                self._coming.append((max(last, arrives), self._number, drawn, quality))
        return frames


@pytest.mark.parametrize("delay", [0, 0.02, 0.1])
def test_on_half_the_rate_pictures_are_fresh_and_none_is_left_out(delay: float) -> None:
    link = Link(rate=BYTES[0] * RATE / 2, delay=delay)
    link.run(2)
    frames = link.run(5)
    assert max(frame.age for frame in frames) - delay <= 2 / RATE
    assert len(frames) >= 5 * RATE - 3, "fewer bytes, not fewer pictures"
    assert {frame.quality for frame in frames} <= {1, 2}


def test_a_link_that_takes_everything_gets_the_best() -> None:
    link = Link(rate=1e8, delay=0.05)
    link.run(4)
    assert link.pace.quality == 0


@pytest.mark.parametrize("rate", [20_000, 120_000, 500_000])
def test_a_link_that_becomes_slow_is_followed_and_so_is_its_recovery(rate: float) -> None:
    link = Link(rate=1e8, delay=0.02)
    link.run(4)
    link.rate = rate
    link.run(12)
    frames = link.run(5)
    one = BYTES[max(frame.quality for frame in frames)] / rate
    assert statistics.median(frame.age for frame in frames) - link.delay <= 2 * max(one, 1 / RATE)
    link.rate = 1e8
    link.run(20)
    assert link.pace.quality == 0


def test_jitter_alone_does_not_make_the_picture_bad() -> None:
    link = Link(rate=1e8, delay=0.02, jitter=0.03)
    link.run(10)
    assert link.pace.quality <= 1


def test_a_better_quality_that_is_too_much_is_tried_less_and_less() -> None:
    link = Link(rate=BYTES[1] * RATE * 0.95)  # the next better one seems to fit, and doesn't
    link.run(5)
    rises = []
    for _ in range(2):
        frames = link.run(30)
        pairs = itertools.pairwise(frames)
        rises.append(sum(later.quality < frame.quality for frame, later in pairs))
    assert rises[1] <= 4


def test_who_never_says_shown_gets_as_many_as_are_under_way() -> None:
    for delay, most in ((0.0, 1), (0.1, 4), (20.0, 30)):
        pace = Pace(RATE)
        assert pace.is_probe_due(0.0)
        pace.probed(1, 0.0)
        pace.answered(2, 1.0)
        pace.answered(1, delay)
        pace.answered(1, 50.0)  # a second answer is none
        assert pace.delay == delay
        for number in range(1, 100):
            if pace.has_room(delay):
                pace.sent(number, 0, delay)
        assert not pace.is_probe_due(99.0)
        assert pace.waiting(delay + 5) == pytest.approx(5)
        pace.shown(99, 1.0)
        assert not pace.has_room(delay)
        pace.shown(most, 1.0)
        assert pace.has_room(delay)
        assert pace.waiting(5.0) == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "isn't a JPEG"),
        (b"hello", "isn't a JPEG"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "isn't a JPEG"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "isn't a JPEG"),
    ],
)
def test_what_is_no_picture_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(NoPicture, match=words):
        load_background(path)


def test_a_picture_is_cut_to_the_size_and_a_huge_or_damaged_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    Image.new("RGBA", (300, 900), (200, 0, 0, 255)).save(path, "PNG")
    background = load_background(path)
    assert (background.size, background.mode) == (SIZE, "RGB")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(NoPicture, match="damaged"):
        load_background(path)
    Image.new("1", (9000, 9000)).save(path, "PNG")  # 10 kB, and 81 megapixels
    with pytest.raises(NoPicture, match="9000 × 9000 pixels are too many"):
        load_background(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)  # Pillow's own limit, at twice as many
    with pytest.raises(NoPicture, match="too many pixels"):
        load_background(path)
    Image.new("RGB", (30, 30)).save(path, "GIF")
    with pytest.raises(NoPicture, match="isn't a JPEG"):
        load_background(path)


def test_a_jpeg_of_many_scans_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    """Each scan is a pass over all pixels: 100 kB of them keep a processor busy for a minute."""
    path = tmp_path / "scans.jpg"
    Image.new("L", (800, 800)).save(path, progressive=True)
    assert load_background(path).size == SIZE
    content = path.read_bytes()
    last = content.rindex(b"\xff\xda")
    path.write_bytes(content[:last] + content[last:-2] * 100 + content[-2:])
    with pytest.raises(NoPicture, match="too many scans"):
        load_background(path)


def test_a_probe_that_was_never_sent_is_not_answered() -> None:
    pace = Pace(30)
    pace.answered(0, 1.0)
    assert pace.delay == 0
    pace.probed(7, 2.0)
    pace.answered(7, 2.25)
    pace.answered(0, 60.0)
    assert pace.delay == 0.25
