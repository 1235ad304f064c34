"""Run one child process at a time, for a bounded time, and remember how it ended."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Any

from birdwatchd.commands.terminal import plain

__all__ = ["ChildTask", "TaskState"]

log = logging.getLogger(__name__)

LONGEST_LINE, LONGEST_SHOWN = 2000, 200
LAST_WORDS_S = 2.0  # for what it wrote before its end; a process of its own may hold the pipe open for longer
OUT_OF_MEMORY = frozenset(
    {signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS}
)  # as libraries and kernels end it
_NO_MEMORY = re.compile(r"MemoryError|Cannot allocate memory|DefaultCPUAllocator|std::bad_alloc")
MOST_BYTES = 60_000  # of an answer: what a pipe holds while nobody reads it


@dataclass(frozen=True, slots=True)
class TaskState:
    """How a task is that was asked for last.

    Attributes:
        about: what it is about.
        answer: what it printed as JSON; empty while it runs, and where it failed.
        problem: why it has no answer, in words.
        ended_s: when it ended, on the monotonic clock.
    """

    about: str
    is_running: bool = True
    answer: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""
    ended_s: float = 0.0


class ChildTask:
    """One kind of task. Safe to use from several threads.

    The child gets its order as a line of JSON on its stdin, which stays open: its end says that the page is gone. It
    answers with one JSON object.
    """

    def __init__(self, name: str, command: Sequence[str], *, limit_s: float) -> None:
        """
        Args:
            name: of its thread, and for the log.
            limit_s: after which it is killed.
        """
        self._name, self._command, self._limit_s = name, list(command), limit_s
        self._lock = threading.Lock()
        self._last: TaskState | None = None

    def start(self, about: str, order: Mapping[str, Any]) -> threading.Thread | None:
        """Begin; returns the thread, for who wants to wait. None where one runs already, whatever it is about."""
        with self._lock:
            if self._last is not None and self._last.is_running:
                return None
            self._last = TaskState(about)
        thread = threading.Thread(target=self._run, args=(about, order), name=self._name, daemon=True)
        thread.start()
        return thread

    def state(self) -> TaskState | None:
        """How the one is that was asked for last; None where none was."""
        with self._lock:
            return self._last

    def _run(self, about: str, order: Mapping[str, Any]) -> None:
        answer, problem = self._ask(order)
        if problem:
            log.warning("%s: %s", self._name, problem)
        with self._lock:
            self._last = TaskState(about, False, answer, problem, time.monotonic())

    def _ask(self, order: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
        """The child's answer, or why there is none."""
        try:
            process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except OSError as error:  # out of processes, files or memory
            return {}, f"its process cannot be started ({os.strerror(error.errno or 0)})"
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        last, process.stderr = _Last(process.stderr), None  # which closes it
        with process:
            with suppress(BrokenPipeError):  # it is gone already
                process.stdin.write(json.dumps(order).encode() + b"\n")
                process.stdin.flush()
            try:
                code = process.wait(self._limit_s)
            except subprocess.TimeoutExpired:
                process.kill()
                return {}, f"it took longer than {self._limit_s:.0f} s and was stopped"
            text = process.stdout.read(MOST_BYTES)
            last.join(LAST_WORDS_S)
            with suppress(BrokenPipeError):
                process.stdin.close()
        try:
            answer = json.loads(text)
            if isinstance(answer, dict):
                return answer, ""
        except ValueError:
            pass
        how = f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
        if -code in OUT_OF_MEMORY or _NO_MEMORY.search(last.line):
            return {}, f"its process {how}; there may be too little memory"
        return {}, f"its process {how} ({last.line})" if last.line else f"its process {how}"


class _Last(threading.Thread):
    """Passes what a child writes to its stderr on to ours, which is the log; keeps the last line, where it says why."""

    def __init__(self, stderr: IO[bytes]) -> None:
        super().__init__(name="stderr", daemon=True)
        self.line = ""
        self._stderr = stderr
        self.start()

    def run(self) -> None:
        """Read to the end, which is that of the child, or of a process of its own that goes on."""
        with self._stderr:
            while some := self._stderr.readline(LONGEST_LINE):
                text = plain(some.decode("utf-8", "replace").strip())
                self.line = text[:LONGEST_SHOWN] or self.line
                sys.stderr.write(f"{text}\n" if text else "")
        sys.stderr.flush()
