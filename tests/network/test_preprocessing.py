"""The record of what is done to a picture: as text, in files of any age, and in words."""

import json
from dataclasses import replace

import pytest

from bitat_deploy.errors import InputError
from bitat_deploy.network import (
    OWN,
    Preprocessing,
    class_names_of,
    class_names_to_text,
    preprocessing_of,
)

RECORDS = [
    OWN,
    Preprocessing(fit="stretch", resize="bilinear", order="bgr"),
    Preprocessing(resized_to=(256, 300), scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.25,)),
    Preprocessing(fit="middle", assumed=True),
]


@pytest.mark.parametrize("record", RECORDS)
def test_text_and_back(record: Preprocessing) -> None:
    assert Preprocessing.from_text(record.to_text()) == record
    read, rest = preprocessing_of({**record.in_metadata(), "dataset": "own"})
    assert (read, rest) == (record, {"dataset": "own"})


def test_what_files_of_before_assume() -> None:
    assert preprocessing_of({}) == (replace(OWN, assumed=True), {})
    for text, record in (
        ("256", replace(OWN, resized_to=(256, 256), assumed=True)),
        ("", replace(OWN, fit="middle", assumed=True)),
    ):
        assert preprocessing_of({"cropped_from": text, "seed": "1"}) == (record, {"seed": "1"})
    assert preprocessing_of({"preprocessing": "pixel / 255"})[0].assumed


@pytest.mark.parametrize(
    "change",
    [
        {"fit": "squeeze"},
        {"resize": "nearest"},
        {"order": "grb"},
        {"resized_to": [256]},
        {"resized_to": [0, 256]},
        {"resized_to": [1 << 15, 256]},
        {"resized_to": [9, 9], "fit": "middle"},
        {"scale": 0},
        {"scale": 1e999},
        {"scale": 10**400},
        {"mean": ["a"]},
        {"std": [1.0, 0.0, 1.0]},
        {"mean": "0.5"},
        {"unknown": 1},
        {"assumed": "no"},
    ],
)
def test_damaged_records(change: dict[str, object]) -> None:
    text = json.dumps({**json.loads(Preprocessing().to_text()), **change})
    with pytest.raises(InputError):
        Preprocessing.from_text(text)


@pytest.mark.parametrize("text", ["{", "[]", "{" * 3000, " " * 5000, '{"scale": NaN}'])
def test_text_that_is_no_record(text: str) -> None:
    with pytest.raises(InputError):
        Preprocessing.from_text(text)


def test_records_that_do_not_fit_a_network() -> None:
    Preprocessing(mean=(0.5,) * 3, resized_to=(20, 30)).check((20, 30, 3))
    for record in (Preprocessing(std=(1.0, 2.0)), Preprocessing(resized_to=(20, 29))):
        with pytest.raises(InputError):
            record.check((20, 30, 3))


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (RECORDS[0], "middle of the picture, bicubic to 30x20; RGB; pixel"),
        (RECORDS[1], "whole picture, stretched, bilinear to 30x20; BGR; pixel / 255"),
        (
            RECORDS[2],
            "middle of the picture, bicubic to 300x256, of that the middle 30x20; RGB; "
            "(pixel / 255 - [0.485, 0.456, 0.406]) / 0.25",
        ),
        (
            RECORDS[3],
            "middle 30x20 pixels of the picture; RGB; pixel / 255 (assumed: the file does not say)",
        ),
    ],
)
def test_words(record: Preprocessing, words: str) -> None:
    assert record.describe((20, 30, 3)) == words


def test_class_names() -> None:
    names = ("tench, Tinca tinca", "Schöne Grüße", '"quoted"', "")
    assert class_names_of(class_names_to_text(names)) == names
    assert class_names_of("shoe,shirt") == ("shoe", "shirt")
    assert class_names_of("") == ()
    for text in ("[1]", "[", '["a\\u0007"]', '["a\\nb"]', "a\nb", json.dumps(["x" * 500])):
        with pytest.raises(InputError):
            class_names_of(text)
