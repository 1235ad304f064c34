"""Run a real Home Assistant core with its MQTT integration, as a process of its own, and ask it what it shows.

It is installed by `tests/support/install_home_assistant.sh`, since it needs a Python and libraries of its own.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from tests.support.peers import free_port, wait_for

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
ENVIRONMENT = Path(os.environ.get("BIRDWATCHD_HOME_ASSISTANT") or CACHE / "birdwatchd" / "home-assistant")
PYTHON = ENVIRONMENT / "bin" / "python"
INSTALL = "bash tests/support/install_home_assistant.sh"
LINE = re.compile(r"^\d{4}-\d\d-\d\d \S+ (WARNING|ERROR|CRITICAL) \([^)]*\) \[([^]]+)\] (.*)$")
CORE = ("homeassistant.components.mqtt", "homeassistant.helpers.template", "homeassistant.components.automation")


def require() -> None:
    """Skip the test where Home Assistant is not installed, with the reason."""
    if not PYTHON.exists():
        why = ENVIRONMENT / "why-not"
        pytest.skip(why.read_text().strip() if why.exists() else f"Home Assistant is not installed; run {INSTALL}")


def icons() -> set[str]:
    """The names of all icons that Home Assistant's frontend ships, without `mdi:`."""
    (folder,) = ENVIRONMENT.glob("lib/python3*/site-packages/hass_frontend/static/mdi")
    names: set[str] = set()
    for part in folder.glob("*.json"):
        found = json.loads(part.read_text())
        names |= set(found) if isinstance(found, dict) else {one["name"] for one in found if "name" in one}
    return names


class Phone:
    """A phone with Home Assistant's app: keeps the notifications that are pushed to it."""

    def __init__(self) -> None:
        pushes: list[dict[str, Any]] = []

        class Push(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                pushes.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(201)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: Any) -> None:
                return

        self.pushes = pushes
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Push)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/push"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class HomeAssistant:
    """One Home Assistant with a user, MQTT, and the automations that it is given."""

    def __init__(self, folder: Path, *, frontend: bool = False) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.token = ""
        folder.mkdir(parents=True, exist_ok=True)
        config: dict[str, Any] = {
            "homeassistant": {"name": "Test", "time_zone": "Asia/Jerusalem", "unit_system": "metric", "country": "IL"},
            "http": {"server_host": "127.0.0.1", "server_port": self.port},
            "logger": {"default": "warning"},
            "recorder": {"commit_interval": 1},
        }
        config |= dict.fromkeys(("api", "onboarding", "mobile_app", "history"))
        config |= {"frontend": None, "lovelace": {"mode": "yaml"}, "logbook": None} if frontend else {}
        self.config = config
        self.config["automation"] = []

    def add_blueprint(self, text: str, name: str, **inputs: Any) -> None:
        """Save a blueprint as a person does, and use it in an automation."""
        path = self.folder / "blueprints" / "automation" / "birdwatchd" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        used = {"path": f"birdwatchd/{name}.yaml", "input": inputs}
        self.add_automations({"alias": name, "use_blueprint": used})

    def add_automations(self, *automations: dict[str, Any]) -> None:
        """Save automations as a person does who edits their YAML."""
        for one in automations:
            self.config["automation"].append({"id": f"automation_{len(self.config['automation'])}", **one})
        self._configure()
        if self.process is not None:
            self.call("automation.reload")

    def _configure(self) -> None:
        (self.folder / "configuration.yaml").write_text(yaml.safe_dump(self.config), encoding="utf-8")

    def start(self) -> None:
        """Start it, and wait until it answers and everything is set up."""
        self._configure()
        starter = str(Path(__file__).with_name("home_assistant_start.py"))
        environment = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TMPDIR") if key in os.environ}
        with (self.folder / "output.log").open("ab") as output:
            self.process = subprocess.Popen(
                [str(PYTHON), starter, "--skip-pip", "--config", str(self.folder), "--log-no-color"],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        wait_for(self._answers, f"Home Assistant to answer, see {self.folder}/output.log", 400)
        if not self.token:
            self._make_user()
        wait_for(lambda: self.get("/api/config")["state"] == "RUNNING", "Home Assistant to run", 200)

    @property
    def output(self) -> str:
        path = self.folder / "output.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            pytest.fail(f"Home Assistant ended with status {self.process.returncode}:\n{self.output[-3000:]}")
        try:
            self.request("GET", "/api/")
        except urllib.error.HTTPError as error:
            return error.code == 401  # it does not know us yet
        except OSError:
            return False
        return True

    def _make_user(self) -> None:
        """The first user, as the page for a new installation makes it."""
        client = f"{self.url}/"
        person = {"name": "Test", "username": "test", "password": "only-a-test", "client_id": client, "language": "en"}
        code = self.request("POST", "/api/onboarding/users", person)["auth_code"]
        grant = {"grant_type": "authorization_code", "code": code, "client_id": client}
        data = urllib.parse.urlencode(grant).encode()
        with urllib.request.urlopen(f"{self.url}/auth/token", data, timeout=20) as answer:
            self.tokens = json.load(answer)
        self.token = self.tokens["access_token"]

    def connect(self, port: int) -> None:
        """Set up MQTT with the broker at a port, as a person does by filling in the form."""
        flows = "/api/config/config_entries/flow"
        flow = self.post(flows, {"handler": "mqtt", "show_advanced_options": False})
        result = self.post(f"{flows}/{flow['flow_id']}", {"broker": "127.0.0.1", "port": port})
        assert result["type"] == "create_entry", result

    def register(self, phone: Phone) -> None:
        """Make a phone known; its notification service is `notify.mobile_app_phone`."""
        app = {
            "device_id": "phone", "app_id": "test", "app_name": "Test", "app_version": "1", "device_name": "phone",
            "manufacturer": "Test", "model": "Test", "os_name": "Test", "os_version": "1", "supports_encryption": False,
            "app_data": {"push_token": "token", "push_url": phone.url},
        }  # fmt: skip
        self.post("/api/mobile_app/registrations", app)
        wait_for(
            lambda: any(one["domain"] == "notify" and "mobile_app_phone" in one["services"] for one in self.services()),
            "the phone's notification service",
        )

    def services(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("/api/services")
        return found

    def call(self, service: str, **data: Any) -> None:
        """Call a service (an action), such as `button.press`."""
        self.post(f"/api/services/{service.replace('.', '/')}", data)

    def fire(self, event: str, **data: Any) -> None:
        self.post(f"/api/events/{event}", data)

    def states(self) -> dict[str, dict[str, Any]]:
        """Every entity by its id: `state`, `attributes`, `last_changed`."""
        return {one["entity_id"]: one for one in self.get("/api/states")}

    def state(self, entity: str) -> str | None:
        """The state of an entity; None if there is none."""
        found = self.states().get(entity)
        return None if found is None else str(found["state"])

    def devices(self) -> list[dict[str, Any]]:
        """The devices that are kept; written a while after each change and when it stops."""
        return self._kept("device", "devices")

    def areas(self) -> list[dict[str, Any]]:
        """The areas that are kept, as `devices`."""
        return self._kept("area", "areas")

    def _kept(self, name: str, key: str) -> list[dict[str, Any]]:
        kept: list[dict[str, Any]] = json.loads((self.folder / ".storage" / f"core.{name}_registry").read_text())[
            "data"
        ][key]
        return kept

    def recorded(self, entity: str) -> list[str]:
        """The states of an entity that were written to the history, oldest first."""
        query = (
            "SELECT states.state FROM states JOIN states_meta USING (metadata_id) "
            "WHERE states_meta.entity_id = ? ORDER BY last_updated_ts"
        )
        with sqlite3.connect(f"file:{self.folder}/home-assistant_v2.db?mode=ro", uri=True) as database:
            return [row[0] for row in database.execute(query, (entity,))]

    def problems(self) -> list[str]:
        """Warnings and errors of the log so far that are about MQTT, templates or automations, or name us.

        That the broker is away is none: these tests stop it.
        """
        found = []
        for line in self.output.splitlines():
            match = LINE.match(line)
            if not match or "connection was lost" in match[3] or "onnect to MQTT server" in match[3]:
                continue
            if match[2].startswith(CORE) or "birdwatch" in line.casefold():
                found.append(line)
        return found

    def get(self, path: str) -> Any:
        return self.request("GET", path)

    def post(self, path: str, data: Mapping[str, Any]) -> Any:
        return self.request("POST", path, data)

    def request(self, method: str, path: str, data: Mapping[str, Any] | None = None) -> Any:
        """Ask its web interface; JSON where the answer is JSON, else bytes."""
        headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {self.token}"} if self.token else {}
        )
        body = None if data is None else json.dumps(data).encode()
        asked = urllib.request.Request(f"{self.url}{path}", body, headers, method=method)
        with urllib.request.urlopen(asked, timeout=30) as answer:
            content = answer.read()
            return json.loads(content) if "json" in answer.headers.get("Content-Type", "") else content

    def stop(self, patience_s: float = 60.0) -> None:
        """Stop it, cleanly if it is quick enough."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(patience_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def settle(seconds: float) -> None:
    """Give Home Assistant time to say something that it should not."""
    time.sleep(seconds)
