"""`${NAME}` in the configuration comes from the environment or from a credential, and is never an empty password."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from birdwatchd.errors import ConfigError
from birdwatchd.settings import load
from birdwatchd.settings.load import find_config, load_config

CAMERA = "cameras:\n  nut:\n    source: rtsp://user:${CAM_PASSWORD}@192.0.2.10/main\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration that wants a password, and a folder beside it for that."""
    file = tmp_path / "birdwatchd.yaml"
    file.write_text(CAMERA)
    (tmp_path / "credentials").mkdir()
    return file


def password(file: Path, environ: dict[str, str]) -> str:
    return load_config(file, environ).cameras["nut"].source.password.reveal()


def test_a_file_beside_the_configuration_is_enough(file: Path) -> None:
    """Commands that a person types have no environment of the service's; a line break at the end is an editor's."""
    (file.parent / "credentials" / "CAM_PASSWORD").write_text("p@ss/w%rd \n")
    assert password(file, {}) == "p@ss/w%rd "


@pytest.mark.parametrize("name", ["CAM_PASSWORD", "birdwatchd_CAM_PASSWORD"])
def test_what_systemd_hands_over_goes_before_the_file(file: Path, tmp_path: Path, name: str) -> None:
    """`LoadCredential=` of a folder gives each file the prefix of the unit; one that is named alone has none."""
    (file.parent / "credentials" / "CAM_PASSWORD").write_text("beside")
    loaded = tmp_path / "run"
    loaded.mkdir()
    (loaded / name).write_text("loaded\n")
    assert password(file, {"CREDENTIALS_DIRECTORY": str(loaded)}) == "loaded"
    assert password(file, {"CREDENTIALS_DIRECTORY": str(loaded), "CAM_PASSWORD": "environment"}) == "environment"


def test_a_missing_one_says_which_file_to_write(file: Path) -> None:
    """An empty password would be tried against the camera until it locks the account."""
    with pytest.raises(ConfigError) as caught:
        load_config(file, {"CREDENTIALS_DIRECTORY": "/nowhere"})
    assert f"or write the value to the file {file.parent}/credentials/CAM_PASSWORD" in str(caught.value)


def test_a_credential_that_is_no_text_is_one_line(file: Path) -> None:
    """A key file that was copied there by mistake must not end in a traceback with its bytes."""
    (file.parent / "credentials" / "CAM_PASSWORD").write_bytes(b"\xff\xfe\x00secret")
    with pytest.raises(ConfigError) as caught:
        load_config(file, {})
    assert str(caught.value).startswith(f"{file.parent}/credentials/CAM_PASSWORD is not UTF-8 text; it stands for")
    assert "secret" not in str(caught.value)


def test_the_configuration_of_the_service_is_found_where_one_may_not_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Built-in defaults would list no visits, and nobody would know why; a folder that one may not enter has none."""
    real = Path.is_file
    here, service = Path("birdwatchd.yaml"), Path("/etc/birdwatchd/birdwatchd.yaml")

    def forbidden(path: Path) -> bool:
        if path in (here, service):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(Path, "is_file", forbidden)
    assert find_config() == service
    monkeypatch.setattr(load, "SEARCH_PATHS", (here, tmp_path / "missing.yaml"))
    assert find_config() is None


def test_secrets_that_are_for_root_alone_are_not_called_missing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is told to write the file again overwrites the right password."""

    def forbidden(folder: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", forbidden)
    with pytest.raises(ConfigError) as caught:
        load_config(file, {})
    assert str(caught.value) == (
        f"{file.parent}/credentials cannot be read (Permission denied); "
        "${CAM_PASSWORD} in the configuration may be there; run it as root"
    )
    assert password(file, {"CAM_PASSWORD": "environment"}) == "environment"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user and come back")
def test_who_may_not_read_it_is_told_as_whom_to_run(tmp_path: Path) -> None:
    """The second thing that a newcomer types is a command without sudo."""
    folder = tmp_path / "birdwatchd"
    folder.mkdir(mode=0o750)
    os.chown(folder, 0, 12)  # of group man, on every Linux
    (folder / "birdwatchd.yaml").write_text(CAMERA)
    for parent in folder.parents:
        if parent.stat().st_uid == 0 and str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    os.setegid(65534)
    os.seteuid(65534)
    try:
        with pytest.raises(ConfigError) as caught:
            load_config(folder / "birdwatchd.yaml", {})
    finally:
        os.seteuid(0)
        os.setegid(0)
    assert "sudo -u man birdwatchd" in str(caught.value)
