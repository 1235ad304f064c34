"""Sort the commands for `--help` by what one does with them, and answer what people guess instead of them."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

__all__ = ["GUESSES", "SECTIONS", "Commands", "Sections"]

GUESSES = {  # what people type, and what does it here
    "config": "`birdwatchd init` writes a configuration, `birdwatchd check` checks it",
    "setup": "`birdwatchd init` writes a configuration, `birdwatchd check` checks it",
    "cameras": "`birdwatchd status` shows the cameras, `birdwatchd check --probe` opens them",
    "test": "`birdwatchd check --probe` tries everything, `birdwatchd selftest` sends a drawn bird through",
    "probe": "`birdwatchd check --probe` tries everything",
    "mqtt": "`birdwatchd check --probe` tests the broker",
    "list": "`birdwatchd visits` lists what was seen",
    "birds": "`birdwatchd visits` lists what was seen",
    "species": "`birdwatchd visits --species NAME` lists the visits of one",
    "export": "`birdwatchd visits --csv` writes a table, `--json` all there is",
    "correct": "`birdwatchd review` corrects a name",
    "label": "`birdwatchd review --ask` goes through what nobody has reviewed",
    "start": "`birdwatchd run` runs here, `systemctl start birdwatchd` the service",
    "stop": "Ctrl-C ends `birdwatchd run`, `systemctl stop birdwatchd` the service",
    "logs": "`journalctl -u birdwatchd` shows the log of the service",
    "log": "`journalctl -u birdwatchd` shows the log of the service",
}
SECTIONS = {  # of `birdwatchd --help`, in this order: what is needed most and first
    "Begin": "demo init models check",
    "Run": "run watch scan install uninstall",
    "Look": "web visits show status effort similar why",
    "Teach": "review relabel calibrate",
    "Keep": "backup restore retention delete",
    "Mend": "tune doctor clock selftest rules report",
}


class Sections(TyperGroup):
    """Lists the commands by what one does with them, each with its whole first sentence."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Every command, in the order of `SECTIONS`."""
        order = " ".join(SECTIONS.values()).split()
        return sorted(super().list_commands(ctx), key=lambda name: order.index(name) if name in order else len(order))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write one section for each `rich_help_panel`, those of `SECTIONS` first."""
        sections: dict[str, list[tuple[str, str]]] = {title: [] for title in SECTIONS}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None:
                first = (command.help or "").split("\n\n")[0].replace("\n", " ")
                sections.setdefault(getattr(command, "rich_help_panel", None) or "Commands", []).append((name, first))
        for title, rows in ((title, rows) for title, rows in sections.items() if rows):
            with formatter.section(title):
                formatter.write_dl(rows)


class Commands(Sections):
    """The commands, and a word on what people guess instead of them."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find a command; `help` is an option that many write as one."""
        if args[0] == "help":
            args = [*args[1:], "--help"]
        if args[0] in GUESSES and self.get_command(ctx, args[0]) is None:
            ctx.fail(f"No such command '{args[0]}'. {GUESSES[args[0]]}.")
        return super().resolve_command(ctx, args)
