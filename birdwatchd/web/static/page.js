// What the page does besides htmx: it listens for news, and lets birds be reviewed with the keyboard.

const body = document.body;
const root = body.dataset.root; // the path under which a proxy has the page, or nothing

// The letter on a key: where a keyboard writes Hebrew or Greek, the Latin one at the same place.
function letter(event) {
  const foreign = event.key.length === 1 && event.key > "\u007f";
  return foreign && event.code.startsWith("Key") ? event.code.slice(3).toLowerCase() : event.key;
}

// -- what is not in order, said in the head of the page: no connection, or something that was not saved

const connection = document.getElementById("connection");
let isUnsaved = false; // and stays said until something is saved
function say(text) {
  if (isUnsaved) return;
  connection.textContent = text;
  connection.hidden = !text;
}

// Why the station refused something: a line of text, or a page that says it.
function refusal(xhr) {
  if (!xhr.status) return connection.dataset.lost;
  if (xhr.getResponseHeader("content-type")?.startsWith("text/plain")) return xhr.responseText.trim();
  return new DOMParser().parseFromString(xhr.responseText, "text/html").querySelector(".problem")?.textContent ?? "";
}

for (const failure of ["htmx:responseError", "htmx:sendError"]) {
  body.addEventListener(failure, ({ detail }) => {
    const isPost = detail.requestConfig.verb === "post";
    if (isPost) isUnsaved = false;
    say(`${isPost ? connection.dataset.unsaved : ""} ${refusal(detail.xhr)}`.trim());
    isUnsaved ||= isPost;
  });
}
body.addEventListener("htmx:afterSettle", ({ detail }) => {
  if (detail.requestConfig.verb === "post") isUnsaved = false;
  say("");
});

// -- news: a stream of events while the page is looked at; each says that something changed, and the parts that show it
// ask for themselves again. In the background there is none: a browser has six connections to a station, for all tabs.

const live = document.getElementById("live");
if (live && live.hasAttribute("hx-get")) {
  let stream = null;
  let later = 0;
  const renew = () => body.dispatchEvent(new CustomEvent("birds"));
  const hush = () => {
    clearTimeout(later);
    stream?.close();
    stream = null;
    delete body.dataset.live;
  };
  const listen = (missed) => {
    hush();
    stream = new EventSource(`${root}/events`);
    let goesOn = false; // ended, to be asked for again: through Home Assistant each news ends its stream
    stream.addEventListener("next", () => { goesOn = true; });
    stream.addEventListener("birds", renew);
    stream.addEventListener("open", () => {
      say("");
      body.dataset.live = "yes";
      if (missed) renew(); // a new stream does not know what came before it
      missed = false;
    });
    stream.addEventListener("error", ({ target }) => {
      const isRefused = target.readyState === EventSource.CLOSED;
      if (goesOn && !isRefused) { goesOn = false; return; }
      say(connection.dataset.lost);
      delete body.dataset.live;
      if (!isRefused) return;
      later = setTimeout(() => listen(true), 30000); // browsers try no more
      fetch(location.href, { redirect: "manual", headers: { Accept: "text/html" } }).then((answer) => {
        if (answer.type === "opaqueredirect") location.reload(); // to the login: the session has ended
      }, () => {});
    });
  };
  const attend = () => {
    if (document.hidden) hush();
    else if (!stream) listen(true);
  };
  if (!document.hidden) listen(false);
  document.addEventListener("visibilitychange", attend);
  setInterval(() => { if (!document.hidden) renew(); }, 60000); // ages grow, and a daemon that hangs writes no news
  window.addEventListener("pagehide", hush);
  window.addEventListener("pageshow", attend); // with the back button a page may come as it was left
}

// -- focus: whoever works with keys stays in the part of the page that is exchanged; what has an id htmx finds by itself

let held = ""; // id of the part that had the focus when it was asked for
body.addEventListener("htmx:beforeRequest", ({ detail }) => {
  if (detail.target.contains(document.activeElement)) held = detail.target.id;
});
body.addEventListener("htmx:afterSettle", () => {
  const part = document.getElementById(held);
  held = "";
  if (!part || document.activeElement !== body) return;
  part.tabIndex = -1;
  part.focus({ preventScroll: true });
});

// A card that was not there before draws the eye once.
const seen = new Set([...document.querySelectorAll(".card")].map((card) => card.id));
body.addEventListener("htmx:afterSettle", () => {
  for (const card of document.querySelectorAll(".card")) {
    if (!seen.has(card.id)) {
      seen.add(card.id);
      card.classList.add("new");
    }
  }
});

// -- the table of hours: on a narrow screen the newest birds are in sight, and earlier hours are a swipe away

for (const { parentElement: box } of document.querySelectorAll(".scroll > .grid")) {
  const { left, right } = box.getBoundingClientRect();
  const isRtl = getComputedStyle(box).direction === "rtl";
  const hidden = [...box.querySelectorAll("td:not(.s0, .total)")].map((cell) => {
    const place = cell.getBoundingClientRect();
    return isRtl ? left - place.left : place.right - right;
  });
  box.scrollLeft = Math.max(0, ...hidden) * (isRtl ? -1 : 1);
}

// -- what cameras show now: asked for again while the page is looked at

setInterval(() => {
  for (const still of document.hidden ? [] : document.querySelectorAll("img[data-still]")) {
    const ahead = new Image();
    ahead.src = `${still.dataset.still}?at=${Date.now()}`;
    ahead.decode().then(() => { still.src = ahead.src; }, () => {});
  }
}, 10000);

// -- filters: chosen is shown, where they are not unfolded over the list; an address holds only what was chosen. By keyboard
// each step and each digit is a choice: they are shown after a pause, and whoever types goes on in the same field.

const filters = document.getElementById("filters");
if (filters) {
  const memory = navigator.cookieEnabled ? sessionStorage : null;
  let later = 0;
  let isTyped = false;
  const show = () => {
    if (filters.checkValidity()) filters.requestSubmit(); // a year that is half typed is none
  };
  filters.addEventListener("submit", () => {
    clearTimeout(later);
    memory?.setItem("filter", filters.contains(document.activeElement) ? document.activeElement.name : "");
    for (const field of filters.elements) {
      if (field.name && field.value === "") field.disabled = true;
    }
  });
  window.addEventListener("pageshow", () => {
    for (const field of filters.elements) field.disabled = false;
  });
  filters.addEventListener("pointerdown", () => { isTyped = false; });
  filters.addEventListener("keydown", () => {
    isTyped = true;
    if (later) later = wait();
  });
  const wait = () => {
    clearTimeout(later);
    return setTimeout(show, 1000);
  };
  filters.addEventListener("change", () => {
    if (filters.closest("details[open]")) return;
    if (isTyped) later = wait();
    else show();
  });
  const field = filters.elements[memory?.getItem("filter") || "-"];
  memory?.removeItem("filter");
  if (field?.checkVisibility?.()) field.focus({ preventScroll: true });
}

// -- the pictures' places in the clip

body.addEventListener("click", (event) => {
  const mark = event.target.closest("[data-seek]");
  const clip = document.getElementById("clip");
  if (!mark || !clip) return;
  event.preventDefault();
  clip.currentTime = Number(mark.dataset.seek);
  clip.focus();
});

// -- names while they are typed on a visit's own page

body.addEventListener("input", async (event) => {
  const field = event.target;
  if (field.getAttribute("list") !== "known") return;
  const typed = field.value;
  const answer = await fetch(`${root}/names?q=${encodeURIComponent(typed)}`).catch(() => null); // no connection
  if (!answer?.ok || field.value !== typed) return;
  const found = new DOMParser().parseFromString(await answer.text(), "text/html");
  const options = [...found.querySelectorAll("[data-name]")].map((one) => new Option("", one.querySelector("b").textContent));
  field.list?.replaceChildren(...options);
});

// -- review by keyboard

const queue = document.getElementById("queue");
const pick = document.getElementById("pick");
const legend = document.getElementById("legend");
const answered = []; // ids of the visits that were answered here, for undo
let selected = null; // id of the visit that keys are about

const items = () => [...queue.querySelectorAll(".item")];
const item = (id) => queue.querySelector(`.item[data-visit="${CSS.escape(id)}"]`);

function select(id, { scroll = true } = {}) {
  selected = id;
  for (const one of items()) one.classList.toggle("selected", one.dataset.visit === id);
  const chosen = id && item(id);
  if (chosen && scroll) {
    chosen.focus({ preventScroll: true });
    chosen.scrollIntoView({ block: "nearest" });
  }
}

function step(by) {
  const all = items();
  const place = all.findIndex((one) => one.dataset.visit === selected);
  const next = all[Math.min(Math.max(place + by, 0), all.length - 1)];
  if (next) select(next.dataset.visit);
}

function press(id, key) {
  const button = item(id)?.querySelector(`button[data-key="${key}"]`);
  if (button) button.click();
  return Boolean(button);
}

const pickName = document.getElementById("pick-name");
let listed = ""; // the text that the list of names is for
let isAwaited = false; // Enter was pressed before the list for its text came

function show_pick(id) {
  select(id, { scroll: false });
  pickName.value = listed = "";
  isAwaited = false;
  document.getElementById("pick-list").replaceChildren();
  pick.showModal();
}

function choose(option) {
  if (!option?.dataset.name) return;
  pick.close();
  const form = item(selected).querySelector("form.another");
  const field = document.createElement("input");
  field.type = "hidden";
  field.name = "species";
  field.value = option.dataset.name;
  form.append(field);
  form.requestSubmit();
}

if (queue) {
  const undo = () => answered.length && press(answered.at(-1), "u");
  const keys = {
    j: () => step(1),
    k: () => step(-1),
    c: () => press(selected, "c"),
    n: () => press(selected, "n"),
    s: () => item(selected)?.querySelector(".pick") && show_pick(selected),
    x: () => item(selected)?.querySelector("[data-key=x]")?.click(),
    g: () => item(selected)?.querySelector("details.guess")?.toggleAttribute("open"),
    u: undo,
    "?": () => legend.showModal(),
  };
  for (const hidden of document.querySelectorAll(".pick, #legend-button")) hidden.hidden = false;
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input:not([type=checkbox]), select, textarea, dialog");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const pressed = letter(event);
    if (!keys[pressed]) return;
    event.preventDefault();
    if (!event.repeat || "jk".includes(pressed)) keys[pressed](); // a key that is held says nothing of the next birds
  });
  body.addEventListener("click", (event) => {
    const one = event.target.closest(".item");
    if (one) select(one.dataset.visit, { scroll: false });
    if (event.target.closest(".pick")) show_pick(one.dataset.visit);
    if (event.target.closest("#legend-button")) legend.showModal();
    if (event.target.closest("#pick-list li")) choose(event.target.closest("#pick-list li"));
  });
  const picked = document.getElementById("picked");
  const count = () => { picked?.replaceChildren(queue.querySelectorAll(".tick input:checked").length); };
  body.addEventListener("change", count);
  window.addEventListener("pageshow", count); // with the back button ticks may be there already
  // Settled, and not swapped: what was swapped away is no longer in the page, and its events reach nobody.
  body.addEventListener("htmx:afterSettle", (event) => {
    for (const hidden of document.querySelectorAll(".pick")) hidden.hidden = false;
    count();
    if (event.detail.target.id === "pick-list") {
      listed = event.detail.requestConfig.formData.get("q");
      if (isAwaited && listed === pickName.value) choose(pick.querySelector("[data-name]"));
      return;
    }
    const id = event.detail.pathInfo.requestPath.slice(root.length).split("/")[2];
    const after = id && item(id);
    if (!after) return;
    const isDone = after.classList.contains("done");
    if (isDone) answered.push(id);
    else if (answered.includes(id)) answered.splice(answered.lastIndexOf(id), 1);
    if (selected !== id) return; // whoever has gone on to another bird stays there: the next key is meant for that one
    select(id, { scroll: !isDone });
    if (isDone) step(1);
  });
  pick.addEventListener("keydown", (event) => {
    const options = [...pick.querySelectorAll("[data-name]")];
    const place = options.findIndex((one) => one.getAttribute("aria-selected") === "true");
    if (event.key === "Enter") {
      event.preventDefault();
      isAwaited = listed !== pickName.value;
      if (!isAwaited) choose(options[Math.max(place, 0)]);
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const next = options[Math.min(Math.max(place + (event.key === "ArrowDown" ? 1 : -1), 0), options.length - 1)];
      for (const one of options) one.setAttribute("aria-selected", String(one === next));
      next?.scrollIntoView({ block: "nearest" });
      pickName.setAttribute("aria-activedescendant", next?.id ?? "");
    }
  });
  pickName.addEventListener("input", () => { isAwaited = false; });
  if (items().length) select(items()[0].dataset.visit, { scroll: false });
}

// -- the keys of links that have one, such as the neighbours of a visit

document.addEventListener("keydown", (event) => {
  if (queue || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, video")) return;
  for (const link of document.querySelectorAll("a[data-key]")) {
    if (link.dataset.key === letter(event)) link.click();
  }
});
