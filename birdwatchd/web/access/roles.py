"""Say who may have which address: everybody, guests, programs with a token, or the owner alone.

An address that stands in no line is the owner's. A test walks all routes and asks for their lines, so that nobody adds
one without having thought of who may see it.
"""

from __future__ import annotations

from enum import StrEnum

from starlette.routing import compile_path

__all__ = ["WHO", "Role", "may"]


class Role(StrEnum):
    """Who asks.

    Attributes:
        NOBODY: nothing is known of them.
        GUEST: the same, where `web.guest` lets them look on.
        PROGRAM: a program that `birdwatchd web token` made a token for.
        OWNER: logged in, or there is no password.
    """

    NOBODY = "nobody"
    GUEST = "guest"
    PROGRAM = "program"
    OWNER = "owner"


_OPEN = frozenset(Role)
_LOOKS = frozenset({Role.GUEST, Role.OWNER})  # birds and pictures; nothing that changes, searches or tells of people
_PROGRAMS = frozenset({Role.PROGRAM, Role.OWNER})
_OWN = frozenset({Role.OWNER})
WHO = {
    "GET /login": _OPEN,
    "POST /login": _OPEN,
    "GET /static/{path:path}": _OPEN,
    "GET /": _LOOKS,
    "GET /visits": _LOOKS,
    "GET /visits/{visit_id}": _LOOKS,
    "GET /visits/{visit_id}/pictures/{number}": _LOOKS,
    "GET /visits/{visit_id}/clip": _LOOKS,
    "GET /species": _LOOKS,
    "GET /species/{name:path}": _LOOKS,
    "GET /events": _LOOKS,
    "GET /help": _LOOKS,
    "GET /api/v1/openapi.json": _PROGRAMS,
    "GET /api/v1/visits": _PROGRAMS,
    "GET /api/v1/visits.csv": _PROGRAMS,
    "GET /api/v1/visits/{visit_id}": _PROGRAMS,
    "GET /api/v1/visits/{visit_id}/pictures/{number}": _PROGRAMS,
    "GET /api/v1/visits/{visit_id}/clip": _PROGRAMS,
    "GET /api/v1/species": _PROGRAMS,
    "GET /api/v1/species/{name:path}": _PROGRAMS,
    "GET /api/v1/cameras": _PROGRAMS,
    "GET /api/v1/events": _PROGRAMS,
    "POST /language": _OPEN,
    "GET /health": _OWN,
    "GET /health/selftest": _OWN,
    "POST /health/selftest": _OWN,
    "GET /visits/{visit_id}/evidence": _OWN,
    "POST /visits/{visit_id}/evidence": _OWN,
    "GET /visits/{visit_id}/evidence/map": _OWN,
    "GET /cameras/{camera}": _OWN,  # what a camera sees now may be people
    "GET /cameras/{camera}/now": _OWN,
    "GET /cameras/{camera}/still.jpg": _OWN,
    "GET /looks": _OWN,
    "GET /looks/{visit_id}": _OWN,
    "GET /names": _OWN,
    "GET /review": _OWN,
    "GET /review/jobs": _OWN,
    "GET /review/jobs/{job_id}": _OWN,
    "GET /review/many": _OWN,
    "GET /visits/{visit_id}/similar": _OWN,
    "POST /logout": _OWN,
    "POST /review/jobs": _OWN,
    "POST /review/jobs/{job_id}": _OWN,
    "POST /visits/{visit_id}/review": _OWN,
}
_LINES = [(key.split(" ")[0], compile_path(key.split(" ")[1])[0], roles) for key, roles in WHO.items()]


def may(role: Role, method: str, path: str) -> bool:
    """Whether somebody may have an address; where several lines fit, all must say so.

    Args:
        path: below the root path.
    """
    if role is Role.OWNER:
        return True
    asked = "GET" if method == "HEAD" else method
    found = [roles for known, pattern, roles in _LINES if known == asked and pattern.match(path)]
    return bool(found) and all(role in roles for roles in found)
