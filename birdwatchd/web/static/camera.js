// A camera's page: its picture is taken over once a second, and places are drawn in it, corner by corner.
// The field of corners holds all that was drawn; the server writes the lines for the configuration.

const PERIOD_MS = 1000;
const sight = document.getElementById("sight");

// -- the picture: shown when it has arrived, so that it never flickers

const connection = document.getElementById("connection");
let isLost = false;

const show = async (text) => {
  const part = new DOMParser().parseFromString(text, "text/html");
  const image = part.querySelector("#now img");
  if (image) {
    const ahead = new Image();
    ahead.src = image.getAttribute("src");
    await ahead.decode();
    image.replaceWith(Object.assign(ahead, { alt: image.alt, width: image.width, height: image.height }));
  }
  for (const id of ["now", "now-words"]) document.getElementById(id).replaceWith(part.getElementById(id));
};

const renew = async () => {
  if (!document.hidden) {
    const answer = await fetch(`${location.pathname}/now`).catch(() => null);
    if (isLost !== !answer?.ok) { // its words go on saying that the picture is of just now
      isLost = !answer?.ok;
      connection.textContent = isLost ? connection.dataset.lost : "";
      connection.hidden = !isLost;
    }
    if (!isLost) await answer.text().then(show).catch(() => {}); // a newer picture has taken its place
  }
  setTimeout(renew, PERIOD_MS);
};
setTimeout(renew, PERIOD_MS);

// -- the corners

const points = document.getElementById("points");
const drawing = document.getElementById("drawing");
for (const one of document.querySelectorAll(".needs-script")) one.hidden = false;

const shapes = () => points.value.split("\n").map((line) => {
  const numbers = (line.match(/\d*\.?\d+/g) || []).map(Number);
  return Array.from({ length: Math.floor(numbers.length / 2) }, (_, at) => [numbers[2 * at], numbers[2 * at + 1]]);
});

const element = (name, attributes) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};

const draw = () => {
  drawing.replaceChildren(...shapes().flatMap((shape) => [
    element("polygon", { points: shape.map((point) => point.join(",")).join(" ") }),
    ...shape.map(([x, y]) => element("path", { d: `M${x} ${y}h0` })), // a dot: its end is round
  ]));
};

const write = (all) => {
  points.value = all.map((shape) => shape.map(([x, y]) => `${x} ${y}`).join(", ")).join("\n");
  points.dispatchEvent(new Event("input", { bubbles: true }));
};

sight.addEventListener("click", (event) => {
  const frame = drawing.getBoundingClientRect(); // not what was pressed: the picture may change between down and up
  if (event.clientY > frame.bottom) return; // the words below it
  const fraction = (at, from, length) => Number(Math.min(1, Math.max(0, (at - from) / length)).toFixed(3));
  const all = shapes();
  all.at(-1).push([fraction(event.clientX, frame.left, frame.width), fraction(event.clientY, frame.top, frame.height)]);
  write(all);
});
points.addEventListener("input", draw);
document.getElementById("undo-point").addEventListener("click", () => {
  const all = shapes();
  while (all.length > 1 && all.at(-1).length === 0) all.pop();
  all.at(-1).pop();
  write(all);
});
document.getElementById("next-shape").addEventListener("click", () => {
  const all = shapes();
  if (all.at(-1).length) write([...all, []]);
});
document.getElementById("clear-points").addEventListener("click", () => write([[]]));
draw();

// -- the lines: where the browser gives no clipboard (a page without TLS), the older way

document.body.addEventListener("htmx:afterSwap", () => {
  for (const one of document.querySelectorAll("#lines .needs-script")) one.hidden = false;
});
document.body.addEventListener("click", async (event) => {
  if (event.target.id !== "copy") return;
  const yaml = document.getElementById("yaml");
  yaml.select();
  let done = false;
  try {
    await navigator.clipboard.writeText(yaml.value);
    done = true;
  } catch {
    done = document.execCommand("copy");
  }
  const said = document.getElementById("copied");
  said.textContent = done ? said.dataset.done : said.dataset.not;
});
