"""Which states of station, cameras and disk a broker is given: the newest of each, and no camera that only blinked."""

from __future__ import annotations

from birdwatchd.mqtt.states import States
from birdwatchd.mqtt.topics import Topics
from birdwatchd.records import Message

TOPICS = Topics("birdwatchd", "garden")


def states() -> States:
    """What a broker was given that knows one camera, which is online."""
    made = States(TOPICS)
    made.camera("nut", "online")
    made.all_again()
    assert payloads(made.take(9)) == {TOPICS.status: b"online", TOPICS.camera_status("nut"): b"online"}
    return made


def payloads(messages: list[Message]) -> dict[str, bytes]:
    return {message.topic: message.payload for message in messages}


def test_a_camera_that_is_back_soon_was_never_away() -> None:
    """Each drop of a Wi-Fi would trigger automations and tear holes into graphs."""
    made = states()
    made.camera("nut", "offline")
    made.find_offline(100.0)
    made.find_offline(109.9)
    assert not made.waiting
    made.camera("nut", "online")
    made.find_offline(200.0)
    assert payloads(made.take(9)) == {TOPICS.camera_status("nut"): b"online"}
    assert not made.waiting


def test_a_camera_that_stays_away_is_offline_once() -> None:
    """However often its process says so meanwhile; what is switched off is said at once."""
    made = states()
    for now_s in (100.0, 105.0, 110.0, 111.0):
        made.camera("nut", "offline")
        made.find_offline(now_s)
    assert payloads(made.take(9)) == {TOPICS.camera_status("nut"): b"offline"}
    made.camera("nut", "disabled")
    assert payloads(made.take(9)) == {TOPICS.camera_status("nut"): b"disabled"}


def test_a_new_connection_is_given_every_state_and_nothing_older() -> None:
    """What was read from the database for the last connection is read again for this one."""
    made = states()
    made.storage(b"full")
    made.put([Message("birdwatchd/garden/nut/today", b"3", retain=True)])
    made.all_again()
    assert set(payloads(made.take(9))) == {TOPICS.status, TOPICS.camera_status("nut"), TOPICS.storage}


def test_the_last_word_is_that_the_station_is_offline() -> None:
    """Nothing that waited for it takes its time."""
    made = states()
    made.storage(b"full")
    made.end()
    assert made.take(0) == []
    assert made.take(9) == [made.will]
    assert not made.waiting
