"""Configurations as people bring them along from other programs."""

from __future__ import annotations

import pytest

from birdwatchd.errors import ConfigError
from birdwatchd.settings.config import Config
from birdwatchd.settings.load import parse_config


def read(text: str, **environ: str) -> Config:
    return parse_config(text, "site.yaml", environ)


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "site.yaml", {})
    return str(caught.value)


def test_cameras_of_one_kind_share_an_anchor() -> None:
    """Eight cameras of one kind, written once and taken over with `<<: *kind`: "`<<` is not a known key".

    Must: Keys are taken over as YAML has it; a camera's own key counts, and of several anchors the first.
    """
    cameras = read(
        "cameras:\n"
        '  one: &kind {source: "rtsp://a/1", min_bird: 20, max_fps: 5}\n'
        '  two: {<<: *kind, source: "rtsp://a/2"}\n'
        '  three: {source: "rtsp://a/3", <<: [{min_bird: 33}, *kind]}\n'
    ).cameras
    assert [(c.source.location, c.min_bird, c.max_fps) for c in cameras.values()] == [
        ("rtsp://a/1", 20, 5),
        ("rtsp://a/2", 20, 5),
        ("rtsp://a/3", 33, 5),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cameras: &c\n  nut: *c\n", "site.yaml:1: cameras is nested too deeply; "),
        ("cameras:\n  a: &a [*a, *a]\n", "site.yaml:2: cameras is nested too deeply; "),
        ("cameras:\n  a: &a\n    source: a.mp4\n    <<: *a\n", "site.yaml:2: cameras.a.<< takes over its own keys; "),
        ("cameras:\n  a: &a {<<: &b {<<: *a}}\n", "site.yaml:2: cameras.a.<< takes over its own keys; "),
    ],
)
def test_an_alias_within_itself(text: str, said: str) -> None:
    """`*alias` within the very keys that `&alias` names: a traceback of a thousand lines.

    Must: One line with file, line and key.
    Now: `site.yaml:2: cameras.nut.<< takes over its own keys; name the &anchor of another one`
    """
    assert refused(text).startswith(said)
    assert "\n" not in refused(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mqtt: {password: !secret broker}", "mqtt.password has !secret, which is Home Assistant's way; write ${NAME}"),
        ("mqtt: {password: !ENV broker}", "mqtt.password has !ENV, which is another program's way; write ${NAME}"),
        ("cameras: !include cameras.yaml", "cameras has !include, which is not read here; birdwatchd has one file"),
        ("cameras: !include_dir_named cams", "cameras has !include_dir_named, which is not read here; birdwatchd has"),
        ("cameras: !mine {nut: {source: a.mp4}}", "cameras has the tag !mine, which is not read here; write the value"),
        ("station: {name: 2026-13-01}", "station.name is not a plain value; put it in quotes"),
    ],
)
def test_tags_of_other_programs(text: str, said: str) -> None:
    """A password is carried over as `password: !secret broker`: "put it in quotes", and then a wrong password.

    Must: The remedy is that of the tag; no tag is passed over in silence.
    Now: `mqtt.password has !secret, which is Home Assistant's way; write ${NAME} here and set …`
    """
    assert said in refused(text)


@pytest.mark.parametrize("password", ["100%41", "50%", "a@b/c?d#e&f", "p:q", "ü ß", "a$b$$c", "${HOME}", r"a\1\g<0>"])
def test_a_password_with_a_percent_sign(password: str) -> None:
    """`rtsp://admin:${PASSWORD}@camera/main` with the password `100%41`: the camera says 401, and locks the account.

    Must: What a variable holds is the password, letter for letter, also as `?pwd=${PASSWORD}` and in a `file:` address,
    and with dollar signs in it.
    Report: https://github.com/bb-Ricardo/netbox-sync/issues/128
    Report: https://github.com/block/blip/pull/40
    """
    nut = read("cameras: {nut: {source: 'rtsp://me:${PASSWORD}@cam/main'}}", PASSWORD=password).cameras["nut"]
    assert nut.source.password.reveal() == password
    sent = read("cameras: {nut: {source: 'http://cam/v?u=me&pwd=${P}&n=1'}}", P="100%41&b").cameras["nut"].source
    assert sent.reveal() == "http://cam/v?u=me&pwd=100%2541%26b&n=1"
    file = read("cameras: {nut: {source: 'file:///media/${CARD}/a.mp4'}}", CARD="50%20 A").cameras["nut"].source
    assert file.location == "/media/50%20 A/a.mp4"


def test_a_whole_address_in_a_variable() -> None:
    """`source: ${CAMERA}` with an address in which `%40` stands for an at sign, as cameras' manuals have it.

    Must: An address is read as one.
    """
    nut = read("cameras: {nut: {source: '${CAMERA}'}}", CAMERA="rtsp://me:a%40b@cam/main").cameras["nut"]
    assert nut.source.password.reveal() == "a@b"
