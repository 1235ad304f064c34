// The map of looks: a press or a key chooses a point and shows its visit; a line around points leads to their review.

const root = document.body.dataset.root;
const map = document.getElementById("looks");
const lasso = document.getElementById("lasso");
const ring = document.getElementById("ring");
const draw = document.getElementById("draw");
const card = document.getElementById("looks-card");

const points = [...map.querySelectorAll("[data-v]")].map((circle) => ({
  id: circle.dataset.v, x: Number(circle.getAttribute("cx")), y: Number(circle.getAttribute("cy")),
}));
const NEAR = 24; // pixels from a finger or a mouse to the point that it means
let chosen = -1; // place in `points`, which are newest first

// Where in the map's own units something happened.
function place(event) {
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(map.getScreenCTM().inverse());
  return [at.x, at.y];
}

function nearest(x, y) {
  let best = -1;
  let least = NEAR / map.getScreenCTM().a;
  points.forEach((point, index) => {
    const far = Math.hypot(point.x - x, point.y - y);
    if (far < least) [best, least] = [index, far];
  });
  return best;
}

async function choose(index) {
  const point = points[index];
  if (!point) return;
  chosen = index;
  ring.setAttribute("cx", point.x);
  ring.setAttribute("cy", point.y);
  ring.removeAttribute("visibility");
  const answer = await fetch(`${root}/looks/${encodeURIComponent(point.id)}`).catch(() => null);
  if (chosen !== index) return; // another one was chosen meanwhile
  const said = answer ? await answer.text() : document.getElementById("connection").dataset.lost;
  const page = new DOMParser().parseFromString(said, "text/html");
  card.replaceChildren(...(page.querySelector("main") ?? page.body).childNodes); // or a page or line that says why not
  card.scrollIntoView({ block: "nearest" });
}

// The nearest point in a direction, within 45° of it.
function step(dx, dy) {
  const here = points[chosen];
  let best = -1;
  let least = Infinity;
  points.forEach((point, index) => {
    const [along, across] = [(point.x - here.x) * dx + (point.y - here.y) * dy, (point.x - here.x) * dy + (point.y - here.y) * dx];
    const far = Math.hypot(along, across);
    if (along > 0 && Math.abs(across) <= along && far < least) [best, least] = [index, far];
  });
  return best;
}

const ways = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
const leaps = { PageDown: 1, PageUp: -1 };
map.setAttribute("role", "application");
map.tabIndex = 0;
map.addEventListener("focus", () => { if (chosen < 0 && map.matches(":focus-visible")) choose(0); });
map.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Enter" && chosen >= 0) location.assign(`${root}/visits/${encodeURIComponent(points[chosen].id)}`);
  else if (ways[event.key]) choose(chosen < 0 ? 0 : step(...ways[event.key]));
  else if (leaps[event.key]) choose(Math.max(0, chosen + leaps[event.key]));
  else if (event.key === "Home") choose(0);
  else if (event.key === "End") choose(points.length - 1);
  else return;
  event.preventDefault();
});

let line = null; // corners, in the map's own units
draw.hidden = false;
draw.addEventListener("click", () => {
  draw.setAttribute("aria-pressed", String(map.classList.toggle("drawing")));
});
map.addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || (event.pointerType !== "mouse" && !map.classList.contains("drawing"))) return;
  line = [place(event)];
  map.setPointerCapture(event.pointerId);
});
map.addEventListener("pointermove", (event) => {
  if (!line) return;
  const [x, y] = place(event);
  const [lastX, lastY] = line.at(-1);
  if (Math.hypot(x - lastX, y - lastY) > 0.02) line.push([x, y]);
  lasso.setAttribute("points", line.map((one) => one.join()).join(" "));
});
map.addEventListener("pointercancel", () => { line = null; lasso.setAttribute("points", ""); });
map.addEventListener("pointerup", (event) => {
  const drawn = line;
  line = null;
  lasso.setAttribute("points", "");
  if (drawn && drawn.length > 3) {
    const every = Math.ceil(drawn.length / 70); // an address has its length
    const corners = drawn.filter((_, index) => index % every === 0).map(([x, y]) => `${Math.round(x * 1000)}_${Math.round(-y * 1000)}`);
    location.assign(`${root}/review/many?map=${map.dataset.map}&line=${corners.join("~")}`);
    return;
  }
  choose(nearest(...place(event)));
});
