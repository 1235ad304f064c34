"""`birdwatchd install` and `uninstall`: say what is to be done, do it, and say what is left for a person."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from birdwatchd.commands.terminal import err, out, shown
from birdwatchd.errors import ConfigError
from birdwatchd.install.files import BACKUP, SERVICE, TIMER, UNITS, example, system_files
from birdwatchd.install.layout import BACKUPS, HOME, Layout, home_of, installed_program, within
from birdwatchd.install.steps import (
    InstallError,
    Link,
    RemoveFile,
    RemoveLink,
    Run,
    Step,
    WriteFile,
    check_user,
    is_ours,
    run_program,
)

__all__ = ["InstallOptions", "UninstallOptions", "run_install", "run_uninstall"]

LINK = Path("/usr/local/bin/birdwatchd")
BOOTED = Path("/run/systemd/system")  # is there where systemd runs (sd_booted(3))
SYSUSERS, TMPFILES = Path("/etc/sysusers.d/birdwatchd.conf"), Path("/etc/tmpfiles.d/birdwatchd.conf")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class InstallOptions:
    """What `birdwatchd install` was asked for; None stands for what is found or usual."""

    user: str
    config: Path
    home: Path | None = None
    backups: Path | None = None
    program: Path | None = None
    root: Path = Path("/")
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class UninstallOptions:
    """What `birdwatchd uninstall` was asked for."""

    root: Path = Path("/")
    dry_run: bool = False


def run_install(options: InstallOptions) -> int:
    """Make the service, or bring it up to date.

    Raises:
        ConfigError: it could not work as it was asked for; nothing is changed.
        InstallError: something failed on the way.
    """
    root, layout = options.root, _layout(options)
    layout.check()
    live = root == Path("/")
    if live:
        layout.check_python()
    _refuse_non_root(options.dry_run, root)
    _take(_install_steps(layout, root), root, dry_run=options.dry_run)
    if live and not options.dry_run:
        check_user(layout.user, layout.program)
    _print_next(layout, root, dry_run=options.dry_run)
    return 0


def run_uninstall(options: UninstallOptions) -> int:
    """Remove the service; visits, pictures, backups, the configuration and the user stay.

    Raises:
        InstallError: something failed on the way.
    """
    root = options.root
    _refuse_non_root(options.dry_run, root)
    kept = _kept(root)
    _take(_uninstall_steps(root), root, dry_run=options.dry_run)
    if kept:
        out.print(f"These stay: {shown(', '.join(kept))}. To delete them too, with all visits:", soft_wrap=True)
        folders = [word for word in kept if word.startswith("/")]
        out.print(f"  sudo rm -r {shown(' '.join(folders))}", soft_wrap=True)
        for user in (word.removeprefix("user ") for word in kept if word.startswith("user ")):
            out.print(f"  sudo userdel {shown(user)}", soft_wrap=True)
    return 0


def _layout(options: InstallOptions) -> Layout:
    config = within(options.root, options.config.absolute())
    home, models = home_of(config) if _is_file(config) else (HOME, None)
    return Layout(
        user=options.user,
        config=options.config.absolute(),
        home=options.home or home,
        backups=options.backups or BACKUPS,
        program=options.program or installed_program(),
        models=models,
        systemd=_systemd_version(),
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except PermissionError:
        raise ConfigError(f"{path} cannot be read", "run it as root: sudo birdwatchd install") from None


def _systemd_version() -> int:
    """Of this machine, which is also taken for that of an image."""
    found = re.match(r"systemd (\d+)", run_program(["systemctl", "--version"]))
    if found is None:
        raise InstallError("systemctl --version does not say its version", "is this systemd?")
    return int(found[1])


def _refuse_non_root(dry_run: bool, root: Path) -> None:
    if not dry_run and os.geteuid() != 0:
        raise ConfigError(f"{root} can be changed by root alone", "run it with sudo; --dry-run shows what it would do")


def _install_steps(layout: Layout, root: Path) -> list[Step]:
    to_root = () if root == Path("/") else (f"--root={root}",)
    steps: list[Step] = [WriteFile(file.path, file.text) for file in system_files(layout)]
    steps.append(WriteFile(layout.config, _first_configuration(layout), mode=0o600, first=True))
    if layout.program != LINK:
        steps.append(Link(LINK, layout.program))
    steps.append(Run(("systemd-sysusers", *to_root, SYSUSERS.name)))
    steps.append(Run(("systemd-tmpfiles", "--create", *to_root, TMPFILES.name)))
    if not to_root and BOOTED.is_dir():
        steps.append(Run(("systemctl", "daemon-reload")))
    return steps


def _first_configuration(layout: Layout) -> str:
    """The example, with this home."""
    text, count = re.subn(r"(?m)^home: \S+", f"home: {layout.home}", example())
    assert count == 1
    return text


def _uninstall_steps(root: Path) -> list[Step]:
    to_root = () if root == Path("/") else (f"--root={root}",)
    steps: list[Step] = []
    if units := [unit for unit in (SERVICE, TIMER) if is_ours(within(root, UNITS / unit))]:
        now = ("--now",) if not to_root and BOOTED.is_dir() else ()
        steps.append(Run(("systemctl", *to_root, "disable", *now, *units)))
    steps += [RemoveFile(UNITS / unit) for unit in (SERVICE, BACKUP, TIMER)]
    steps += [RemoveFile(SYSUSERS), RemoveFile(TMPFILES)]
    steps += [RemoveLink(LINK, Path(program)) for program in _found(root, UNITS / SERVICE, r"(?m)^ExecStart=(\S+)")]
    if not to_root and BOOTED.is_dir():
        steps.append(Run(("systemctl", "daemon-reload")))
    return steps


def _kept(root: Path) -> list[str]:
    """The user and the folders that the service had, as its files say."""
    users = [f"user {name}" for name in _found(root, SYSUSERS, r"(?m)^u (\S+)")]
    folders = [Path(name) for name in _found(root, TMPFILES, r"(?m)^d (\S+)")]
    return users + [str(one) for one in folders if not any(parent in folders for parent in one.parents)]


def _found(root: Path, path: Path, pattern: str) -> list[str]:
    """What a file of ours names; nothing if there is none."""
    file = within(root, path)
    return re.findall(pattern, file.read_text(encoding="utf-8")) if is_ours(file) else []


def _take(steps: Sequence[Step], root: Path, *, dry_run: bool) -> None:
    """Do what is not done yet, and print it."""
    for step in steps:
        if step.is_done(root):
            out.print(f"[dim]as it should be: {shown(step.what)}[/]", soft_wrap=True)
            continue
        out.print(f"{'would ' if dry_run else ''}{shown(step.what)}", soft_wrap=True)
        if dry_run:
            continue
        try:
            step.do(root)
        except OSError as error:
            raise InstallError(f"cannot {step.what}: {error.strerror}", "mend that and run it again") from None


def _print_next(layout: Layout, root: Path, *, dry_run: bool) -> None:
    """Print what a person has to do now."""
    if dry_run:
        out.print("Nothing was changed.")
        return
    missing = _missing_secrets(layout, root)
    lines = [f"sudoedit {layout.config}"]
    lines += [f"sudo install -m 640 -g {layout.group} /dev/stdin {layout.credentials / name}" for name in missing]
    lines += [
        f"sudo -u {layout.user} birdwatchd check --probe --config {layout.config}",
        f"sudo systemctl enable --now {SERVICE} {TIMER}",
    ]
    out.print("Next: your cameras, passwords (type one, Enter, Ctrl-D), a test, and the start:")
    for line in lines:
        out.print(f"  {shown(line)}", soft_wrap=True)
    if root == Path("/") and _is_active():
        err.print("birdwatchd runs already: sudo systemctl restart birdwatchd", soft_wrap=True)


def _missing_secrets(layout: Layout, root: Path) -> list[str]:
    """Names of the secrets that the configuration wants and for which there is no file."""
    text = within(root, layout.config).read_text(encoding="utf-8")
    live = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    return [
        name for name in dict.fromkeys(_VARIABLE.findall(live)) if not within(root, layout.credentials / name).exists()
    ]


def _is_active() -> bool:
    if not BOOTED.is_dir():
        return False
    try:
        return run_program(["systemctl", "is-active", SERVICE]).strip() == "active"
    except InstallError:  # it ends with 3 for a service that does not run
        return False
