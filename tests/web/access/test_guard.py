"""Who gets what of the page: every route, by every role, under every name, from every origin."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.routing import Mount

from birdwatchd.commands.review_many import JobFiles, ReviewJob
from birdwatchd.store import ReviewVerdict
from birdwatchd.store.media import Media
from birdwatchd.testing import START, bird_image, example_moment, example_visit, temporary_store
from birdwatchd.web.access.guard import COOKIE
from birdwatchd.web.access.login import Login, hash_of
from birdwatchd.web.access.roles import WHO
from birdwatchd.web.app import routes
from birdwatchd.web.asked.evidence import KIND
from birdwatchd.web.pictures.kept import KeptPictures
from birdwatchd.web.routes.api import PREFIX
from tests.support.live import live_pictures
from tests.support.page import Browser, browser, segment

CAMERAS = {"nut": {"source": "/"}}
PASSWORD = "correct horse battery"
HASH = hash_of(PASSWORD)
VISIT = "01JTJC2Q8ZK4V7XW5N3M9R6BDA"
WHOLE = routes()
DESCRIBED = {"": WHOLE, PREFIX: next(one.app for one in WHOLE.routes if isinstance(one, Mount) and one.name == "api")}
FOUND = (
    (method.upper(), prefix + path)
    for prefix, app in DESCRIBED.items()
    for path, methods in app.openapi()["paths"].items()  # type: ignore[attr-defined]
    for method in methods
)
ROUTES = [*sorted(FOUND), ("GET", f"{PREFIX}/openapi.json")]
JOB = ReviewJob("20260501T063000000000", ReviewVerdict.CONFIRM, "", "ann", "a selection", (VISIT,), "done")
OPEN = {("GET", "/login"), ("POST", "/login")}
GUESTS = {
    f"GET {path}"
    for path in (
        "/",
        "/visits",
        "/visits/{visit_id}",
        "/visits/{visit_id}/pictures/{number}",
        "/visits/{visit_id}/clip",
        "/species",
        "/species/{name}",
        "/events",
        "/help",
    )
}


def picture() -> bytes:
    written = io.BytesIO()
    bird_image().save(written, "JPEG")
    return written.getvalue()


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with temporary_store() as store:
        clip = f"media/nut/2026/05/01/{VISIT}.mp4"
        (store.home / clip).parent.mkdir(parents=True)
        (store.home / clip).write_bytes(bytes(range(100)))
        visit = example_visit(VISIT, clip=clip)
        store.writer().record(visit, [example_moment(jpeg=picture())], START)
        JobFiles(store.home).write(JOB)
        media, crop = Media(store.home), f"media/nut/2026/05/01/{VISIT}-0.jpg"
        assert KeptPictures(media).put(crop, KIND, picture(), media.version(crop) or 0)
        with live_pictures(store.home, {"nut": True}):
            yield store.home


def stranger(home: Path) -> Browser:
    return browser(home, login=Login(HASH), cameras=CAMERAS)


def guest(home: Path) -> Browser:
    return browser(home, login=Login(HASH), web={"guest": True, "password_file": home / "password"})


def address(path: str) -> str:
    return path.format(visit_id=VISIT, number=0, camera="nut", name=segment("Passer domesticus"), job_id=JOB.job_id)


def test_the_walk_knows_every_route() -> None:
    """A route that somebody adds is walked from then on; if this list is empty, nothing was."""
    assert len(ROUTES) >= 24
    assert ("GET", "/api/v1/visits/{visit_id}/clip") in ROUTES
    assert ("GET", "/visits/{visit_id}/clip") in ROUTES
    assert ("GET", "/cameras/{camera}/still.jpg") in ROUTES


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_stranger_gets_the_login_and_nothing_else(home: Path, method: str, path: str) -> None:
    """Pictures of a garden are nobody else's business: no page, no picture, no clip without a login."""
    somebody = stranger(home)
    ask = somebody.get if method == "GET" else lambda where: somebody.post(where, {})
    answer = ask(address(path))
    if (method, path) in OPEN:
        assert answer.status in (200, 403)
        assert "Password" in answer.text
        return
    if path == "/language":  # which one may choose for the login page
        assert (answer.status, answer.headers["location"], answer.body) == (303, "/", b"")
        return
    if path.startswith(PREFIX):
        assert (answer.status, answer.text) == (401, '{"error": "Log in first.", "hint": ""}')
        return
    if method == "GET":
        assert (answer.status, answer.headers["location"].partition("?")[0]) == (303, "/login")
        answer = somebody.get(address(path), accept="image/webp")  # as an element of a page asks
    assert (answer.status, answer.text) == (401, "Log in first.\n")


def test_every_route_says_who_may_have_it() -> None:
    """Whoever adds a route decides who may see it (`birdwatchd/web/access/roles.py`); what is gone loses its line."""
    named = {f"{method} {path}".replace("{name}", "{name:path}") for method, path in ROUTES}
    mounted = {one.path for one in WHOLE.routes if isinstance(one, Mount)} - {PREFIX}
    assert named | {f"GET {path}/{{path:path}}" for path in mounted} == set(WHO)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_guest_looks_and_does_nothing_else(home: Path, method: str, path: str) -> None:
    """Neighbours may see the birds. Reviews, the health of the station, searches and programs are the owner's."""
    somebody = guest(home)
    key = f"{method} {path}"
    if method == "POST":
        answer = somebody.post(address(path), {"verdict": "not_a_bird", "do": "undo"})
        assert answer.status == (303 if path == "/language" else 403 if (method, path) in OPEN else 401)
    else:
        answer = somebody.get(address(path))
        assert (answer.status == 200) == (key in GUESTS or (method, path) in OPEN)
        assert somebody.get(address(path), method="HEAD").status == (answer.status if answer.status == 200 else 401)
    with_session = somebody.get(address(path), cookie=f"{COOKIE}=invented") if method == "GET" else answer
    assert with_session.status == answer.status


def test_a_guest_is_offered_nothing_that_guests_may_not(home: Path) -> None:
    """A form that is refused when it is sent is worse than none. Who reviewed and who was told is not for guests."""
    somebody = guest(home)
    for path in ("/", "/visits", f"/visits/{VISIT}", "/species", f"/species/{segment('Passer domesticus')}"):
        page = somebody.get(path).text
        forms = set(re.findall(r'<form[^>]* action="([^"]*)"', page))
        assert forms <= {"/visits", "/language"}
        links = set(re.findall(r'(?:href|hx-get)="(/[^"?]*)', page))
        assert [one for one in links if somebody.get(one).status != 200] == []
        assert "sent about it" not in page
        assert 'href="/login?next=' in page
    assert "sent about it" in browser(home).get(f"/visits/{VISIT}").text


def test_a_guest_who_logs_in_is_the_owner(home: Path) -> None:
    """And after the logout a guest again."""
    somebody = guest(home)
    assert somebody.post("/login", {"password": PASSWORD, "next": "/health"}).headers["location"] == "/health"
    assert somebody.get("/health").status == 200
    somebody.post("/logout", {})
    assert (somebody.get("/health").status, somebody.get("/visits").status) == (303, 200)


def test_a_guest_reads_no_file_names(tmp_path: Path) -> None:
    """What is wrong with the database says where it is."""
    somebody = guest(tmp_path)
    assert (somebody.get("/visits").status, str(tmp_path) in somebody.get("/visits").text) == (503, False)
    assert str(tmp_path) in browser(tmp_path).get("/visits").text


@pytest.mark.parametrize("role", ["open", "owner"])
@pytest.mark.parametrize(("method", "path"), [one for one in ROUTES if one[0] == "GET"])
def test_the_owner_gets_everything(home: Path, path: str, method: str, role: str) -> None:
    """On the station's own machine without a password, or logged in, every address answers."""
    somebody = browser(home, cameras=CAMERAS) if role == "open" else stranger(home)
    if role == "owner":
        somebody.session = somebody.login.enter(PASSWORD, "x") or ""
    answer = somebody.get(address(path))
    assert answer.status == (303 if path == "/login" else 200)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_foreign_name_or_page_gets_nothing(home: Path, method: str, path: str) -> None:
    """A stranger's page whose name resolves to this machine, or that sends a form here, reads and changes nothing."""
    somebody = browser(home)
    names = ("evil.example", "evil.example:8787", "127.0.0.1.evil.example", "", "localhost@evil.example", "[::1")
    for host in (*names, "127.0.0.1:8787.evil.example"):
        answer = somebody.get(address(path), host=host)
        assert (answer.status, "Great" in answer.text) == (421, False)
    if method == "POST":
        for headers in (
            {"origin": "http://evil.example"},
            {"origin": "null"},
            {"origin": "http://127.0.0.1:9999"},
            {"origin": "", "sec_fetch_site": "cross-site"},
            {"origin": ""},
        ):
            assert somebody.post(address(path), {"verdict": "confirm"}, **headers).status == 403
        assert somebody.post(address(path), {"verdict": "confirm"}, token="of another session").status == 403
        assert somebody.post(address(path), {"verdict": "x" * 20_000}).status == 413


def test_names_of_this_station_are_answered(home: Path) -> None:
    """localhost, an address in numbers and the names in the configuration are the station's own."""
    somebody = browser(home, web={"hosts": ["Birds.example"]})
    for host in ("localhost", "localhost:8787", "LOCALHOST.", "[::1]:8787", "192.0.2.7", "birds.example:443"):
        assert somebody.get("/species", host=host).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/visits/../birdwatchd.sqlite3/clip",
        "/visits/..%2f..%2fetc%2fpasswd/clip",
        f"/visits/{VISIT}/pictures/..%2f0",
        f"/visits/{VISIT}/pictures/1e9",
        f"/visits/{VISIT}/pictures/-1",
        f"/visits/{VISIT}/pictures/99999999999999999999999",
        "/visits/%00/pictures/0",
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static//etc/passwd",
        "/media/nut/2026/05/01/x.jpg",
        "/nothing",
    ],
)
def test_an_address_is_never_a_path(home: Path, path: str) -> None:
    """Whatever is written between the slashes is looked up among ids, not in folders."""
    assert browser(home).get(path).status == 404


def test_every_answer_carries_the_policy(home: Path) -> None:
    """A name of a bird, a camera or a file that holds a script must stay a name."""
    somebody = browser(home)
    for path in (
        "/",
        "/nothing",
        "/static/page.css",
        f"/visits/{VISIT}/pictures/0",
        f"/visits/{VISIT}/clip",
        "/events",
    ):
        headers = somebody.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "cache-control" in headers
    assert somebody.get("/", host="evil.example").headers["x-content-type-options"] == "nosniff"


def test_names_from_outside_are_text(home: Path) -> None:
    """A camera's display name, a species that somebody typed and an address are shown, never obeyed."""
    evil = "<script>alert(1)</script>"
    somebody = browser(home, cameras={"nut": {"source": "/", "name": evil}})
    pages = [somebody.get(path).text for path in ("/", "/visits", "/visits?species=" + segment(evil), "/health")]
    pages.append(somebody.post(f"/visits/{VISIT}/review", {"verdict": "species", "species": evil}).text)
    pages.append(somebody.get("/login?next=" + segment(f'/"{evil}')).text)
    assert all(evil not in page for page in pages)
    assert "&lt;script&gt;" in pages[0]


@pytest.mark.parametrize("wanted", ["bytes=0-9", "bytes=90-", "bytes=-5"])
def test_a_clip_is_sent_in_parts(home: Path, wanted: str) -> None:
    """A player asks for the part that it needs; a phone that seeks should not fetch minutes of video again."""
    answer = browser(home).get(f"/visits/{VISIT}/clip", range=wanted)
    start = {"0-9": 0, "90-": 90, "-5": 95}[wanted[6:]]
    assert (answer.status, answer.body[0]) == (206, start)
    assert answer.headers["content-range"].startswith(f"bytes {start}-")


def test_a_hundred_thousand_parts_of_a_clip_cost_nothing(home: Path) -> None:
    """Many small ranges in one request were a way to keep a server busy (CVE-2025-62727)."""
    many = "bytes=" + ",".join(f"{n % 50}-{n % 50 + 1}" for n in range(2000))
    assert browser(home).get(f"/visits/{VISIT}/clip", range=many).status in (200, 206, 400, 416)


def test_a_camera_whose_pictures_are_not_kept_shows_none_of_before(home: Path) -> None:
    """Who sets `store: nothing` for a camera means all pictures of it, also those that lie there already."""
    somebody = browser(home, cameras={"nut": {"source": "/", "store": "nothing"}})
    assert somebody.get(f"/visits/{VISIT}/pictures/0").status == 404
    assert somebody.get(f"/visits/{VISIT}/clip").status == 404
    for page in ("/", f"/visits/{VISIT}", "/review?show=all"):
        assert f"/visits/{VISIT}/pictures" not in somebody.get(page).text  # nor a broken one
    for page in ("/", f"/visits/{VISIT}", "/review?show=all"):
        assert f"/visits/{VISIT}/pictures" not in somebody.get(page).text  # nor a broken one


def test_login_makes_a_new_session_and_logout_ends_it(home: Path) -> None:
    """Who leaves a session id in somebody's browser beforehand does not know the one that opens the page."""
    somebody = stranger(home)
    somebody.session = "left by a stranger"
    wrong = somebody.post("/login", {"password": "wrong", "next": "/visits"}, token=somebody.login.token(""))
    assert (wrong.status, somebody.get("/visits").status) == (403, 303)
    right = somebody.post("/login", {"password": PASSWORD, "next": "/visits"}, token=somebody.login.token(""))
    assert (right.status, right.headers["location"]) == (303, "/visits")
    assert {"HttpOnly", "SameSite=lax"} <= {part.strip() for part in right.headers["set-cookie"].split(";")}
    assert somebody.session != "left by a stranger"
    assert somebody.get("/visits").status == 200
    kept = somebody.session
    assert somebody.post("/logout", {}).status == 303
    somebody.session = kept
    assert somebody.get("/visits").status == 303


@pytest.mark.parametrize("beside", ['ha={"theme":"dark"}', "é=1", "a b", "=;;", "x" * 9])
def test_what_other_programs_keep_in_a_browser_does_not_end_the_login(home: Path, beside: str) -> None:
    """Home Assistant or Frigate at another port of the same host: browsers send their cookies here too."""
    somebody = stranger(home)
    session = somebody.login.enter(PASSWORD, "x")
    for sent in (f"{beside}; {COOKIE}={session}", f"{COOKIE}={session}; {beside}"):
        assert somebody.get("/health", cookie=sent).status == 200
    assert somebody.get("/health", cookie=f"{beside}; {COOKIE}=invented").status == 303


def test_no_cookie_of_a_stranger_takes_long(home: Path) -> None:
    """It is read where all requests are: Python's own parser took seconds for it, and nobody was answered meanwhile."""
    somebody = stranger(home)
    somebody.get("/login")  # once before: what is loaded with the first page counts for none
    began_s = time.process_time()
    assert somebody.get("/login", cookie='a="' + "\\" * 15_000 + '"').status == 200
    assert time.process_time() - began_s < 0.5


@pytest.mark.parametrize(
    "following", ["//evil.example", "https://evil.example", "/\\evil.example", "/x\r\nset-cookie: a=b"]
)
def test_a_login_leads_nowhere_else(home: Path, following: str) -> None:
    """A link to the login page must not be a way to a stranger's copy of it."""
    somebody = stranger(home)
    answer = somebody.post("/login", {"password": PASSWORD, "next": following})
    assert (answer.status, answer.headers["location"]) == (303, "/")


def test_only_what_pages_do_is_answered(home: Path) -> None:
    """Other methods and long addresses are refused unseen; a program that asks whether it is up gets an answer."""
    somebody = browser(home)
    refused = somebody.get("/visits", method="DELETE")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD, POST")
    assert somebody.get("/api/v1/visits", method="POST").headers["allow"] == "GET, HEAD"
    assert somebody.get("/visits?species=" + "x" * 3000).status == 414
    assert somebody.get("/visits", method="HEAD").status == 200
