"""The help that a person reads first: every command in its section, whole, and with an example that works."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from birdwatchd.cli.main import app, run_cli
from birdwatchd.cli.sections import GUESSES, SECTIONS


def commands(group: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *path, name)
        else:
            yield (*path, name), command


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_the_example_of_a_command_can_be_typed(path: tuple[str, ...]) -> None:
    """An example with a misspelt option teaches the wrong thing."""
    command, example = COMMANDS[path], COMMANDS[path].epilog
    assert example.startswith("Example: birdwatchd ")
    words = shlex.split(example.removeprefix("Example: birdwatchd "))
    assert tuple(words[: len(path)]) == path
    context = command.make_context(path[-1], words[len(path) :])
    assert context.params  # parsed, and every value is one that the option takes


def test_what_people_guess_leads_to_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    """`help` is typed before `--help` is; `export` and `config` are what other programs call it.

    Must: They lead to what there is here.
    """
    assert run_cli(["help", "visits"]) == 0
    assert "List visits, newest last." in capsys.readouterr().out
    assert run_cli(["help"]) == 0
    assert "\nBegin:\n" in capsys.readouterr().out
    for word, hint in GUESSES.items():
        assert run_cli([word]) == 2
        said = capsys.readouterr().err
        assert f"No such command '{word}'. {hint}." in said
        named = {tuple(name.split())[:1] for name in re.findall(r"`birdwatchd ([a-z]+)", hint)}
        assert named <= {path[:1] for path in COMMANDS}, word
    assert (*GUESSES,) == tuple(word for word in GUESSES if (word,) not in COMMANDS)


def test_help_sorts_commands_by_what_one_does() -> None:
    """Thirteen commands in one list are a wall; and a description that is cut says nothing."""
    helped = subprocess.run(
        [sys.executable, "-m", "birdwatchd", "--help"], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    places = [helped.index(f"\n{section}:\n") for section in SECTIONS]
    assert places == sorted(places)
    assert "\nCommands:" not in helped  # every command has its section
    assert "..." not in helped.split("COMMAND [ARGS]...")[1]
    assert helped.count("\n  review ") == 1
    for (name, *_), command in COMMANDS.items():
        assert f"\n  {name} " in helped, command
    listed = [line.split()[0] for line in helped.splitlines() if re.match(r"  [a-z]", line)]
    assert listed == " ".join(SECTIONS.values()).split(), "in each section what is needed most comes first"


def test_one_thing_is_asked_of_web_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    """The first one won, and who read the list of tokens believed that the other was taken back."""
    assert run_cli(["web", "--tokens", "--revoke", "old"]) != 0
    assert "use one of --hash-password, --token NAME, --tokens and --revoke NAME" in capsys.readouterr().err
