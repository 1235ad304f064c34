"""Ask `/api/v1` what its own description allows, and what it does not: no fault, and no answer that is not in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from argon2 import PasswordHasher
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import negative_data_rejection as accepts_nothing_more

from birdwatchd.testing import START, example_moment, example_visit, temporary_store
from birdwatchd.web.access import tries
from birdwatchd.web.access.login import Login
from birdwatchd.web.access.tokens import Tokens
from tests.support.page import browser

HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("correct horse")  # as it is kept, made quickly
EXAMPLES = 15  # of each address and mode
NAME = "testserver"  # under which requests in memory are sent


@pytest.fixture(scope="module")
def token() -> Iterator[tuple[Any, str]]:
    with temporary_store() as store, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tries, "FREE_TRIES", 10**9)  # it tries tokens that are none, too
        for number in range(3):
            store.writer().record(example_visit(f"v{number}"), [example_moment()], START)
        web = {"password_file": store.home / "password", "hosts": [NAME]}
        app = browser(store.home, login=Login(HASH), web=web).app
        yield app, Tokens(store.home).make("test", START)


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_answer_is_as_described(token: tuple[Any, str], mode: GenerationMode) -> None:
    """A program that was made of the description must not meet what is not in it, whatever its users type."""
    app, secret = token  # with which it asks also where it means to ask without: so what is more is not refused
    headers = {"Authorization": f"Bearer {secret}"}
    described = schemathesis.openapi.from_asgi("/api/v1/openapi.json", app, headers=headers)
    asked = []
    for found in described.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        asked.append(operation.label)

        @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode))
        def answered(case: Any) -> None:
            case.call_and_validate(headers=headers, excluded_checks=[accepts_nothing_more])

        answered()
    assert "GET /visits/{visit_id}/clip" in asked
    assert len(asked) == 9
