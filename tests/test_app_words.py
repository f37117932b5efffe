from __future__ import annotations

import math

import pytest

from app import style, words
from collectors.records import ENGINE_NAMES

PAPER = {"light": "#ffffff", "dark": "#12161c"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1, "1.00"),
        (0.00123456, "0.00123"),
        (12.345, "12.3"),
        (999.9, "1,000"),
        (9.999, "10.0"),
        (1234567, "1,230,000"),
        (-0.5, "−0.500"),
        (math.inf, "∞"),
        (math.nan, "–"),
        (None, "–"),
    ],
)
def test_numbers_have_three_significant_digits(value: float | None, text: str) -> None:
    assert words.number(value) == text


def test_a_difference_always_prints_its_sign() -> None:
    assert [words.signed(value) for value in (1.5, -1.5, 0.0, None)] == ["+1.50", "−1.50", "0", "–"]


def test_percentages_keep_a_decimal_under_ten() -> None:
    assert [words.percent(value) for value in (0.5, 0.0512, 0.999, None)] == ["50 %", "5.1 %", "100 %", "–"]
    assert words.percent(-0.25, sign=True) == "−25 %"
    assert words.percent(0.25, sign=True) == "+25 %"


@pytest.mark.parametrize(
    ("ns", "text"), [(12, "12.0 ns"), (1_234, "1.23 µs"), (5.6e6, "5.60 ms"), (2e9, "2.00 s"), (None, "–")]
)
def test_times_choose_their_unit(ns: float | None, text: str) -> None:
    assert words.time(ns) == text


def test_sizes_are_binary() -> None:
    assert [words.size(count) for count in (0, 512, 1536, 3 * 2**20, None)] == [
        "0 B",
        "512 B",
        "1.50 KiB",
        "3.00 MiB",
        "–",
    ]


def test_an_interval_nobody_earned_is_not_shown() -> None:
    assert words.between(1.0, None) == ""
    assert words.between(-1.0, 2.0, sign=True) == "−1.00 … +2.00"


def test_verdicts_are_told_by_mark_and_word() -> None:
    told = {words.verdict(each) for each in words.MARKS}
    assert len(told) == len({text.split()[0] for text in told}) == 4
    assert words.verdict("faster", "points") == "▲ better"


def test_sentences_of_analysis_get_the_sign_for_micro() -> None:
    assert words.micro("takes 32.3 us, plus 4 us") == "takes 32.3 µs, plus 4 µs"
    assert words.micro("uses 4 users") == "uses 4 users"


def luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(a: str, b: str) -> float:
    """WCAG 2.2 contrast ratio."""
    dark, light = sorted((luminance(a), luminance(b)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", PAPER)
def test_verdicts_can_be_read_on_either_paper(scheme: str) -> None:
    assert all(contrast(colour, PAPER[scheme]) >= 4.5 for colour in style.TEXT_TONES[scheme].values())


@pytest.mark.parametrize("scheme", PAPER)
def test_shapes_stand_out_on_either_paper(scheme: str) -> None:
    shapes = [*style.ENGINE_COLOURS.values(), style.BETTER, style.WORSE, style.TOTAL]
    assert {
        colour: contrast(colour, PAPER[scheme]) for colour in shapes if contrast(colour, PAPER[scheme]) < 2.4
    } == {}


def test_every_engine_has_a_colour_of_its_own() -> None:
    assert set(style.ENGINE_COLOURS) == set(ENGINE_NAMES)
    assert len({*style.ENGINE_COLOURS.values(), style.BETTER, style.WORSE}) == len(ENGINE_NAMES) + 2
