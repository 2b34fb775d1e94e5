// What pages do beside showing: times in the reader's zone on hover, copying, keys. Everything
// there is works without it. No text becomes markup here.
"use strict";

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const local = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "medium" });

const zoned = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "long" });
let isLocal = false;

function tellLocally(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.valueOf())) continue;
    time.title = `${time.dateTime} (UTC)\n${local.format(at)} (${zone})`;
    time.dataset.utc ??= time.textContent;
    time.textContent = isLocal ? zoned.format(at) : time.dataset.utc;
  }
}

// Whoever has no pointer to rest on a time has all of them told in their own zone.
function offerZone(holder) {
  if (zone === "UTC") return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  button.textContent = `Show times in ${zone}`;
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => {
    isLocal = !isLocal;
    button.setAttribute("aria-pressed", String(isLocal));
    tellLocally(document);
  });
  holder.append(" ", button);
}

function offerCopy(holder) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  const text = holder.textContent;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(holder);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  holder.after(button);
}

tellLocally(document);
for (const holder of document.querySelectorAll("[data-zones]")) offerZone(holder);
for (const holder of document.querySelectorAll("[data-address]")) holder.textContent = `, ${location.pathname}${location.search}`;
for (const holder of document.querySelectorAll("[data-copy]")) offerCopy(holder);

// The live tail: while a button is pressed, new changes come on top of the list. An event says that
// there are some; their lines are those of this very page, asked for once more.
function pageAnew() {
  return new Promise((done, failed) => {
    const asking = new XMLHttpRequest();
    asking.open("GET", location.href);
    asking.responseType = "document";
    asking.addEventListener("load", () => done(asking.response));
    asking.addEventListener("error", failed);
    asking.send();
  });
}

const target = (row) => row.querySelector("td.time a")?.getAttribute("href");

function merge(body, lines) {
  const known = new Map([...body.rows].map((row) => [target(row) ?? row.textContent, row]));
  let place = body.rows[0];
  for (const line of [...lines]) {
    const old = known.get(target(line) ?? line.textContent);
    const fresh = document.importNode(line, true);
    tellLocally(fresh);
    const row = old?.textContent === fresh.textContent ? old : fresh;
    if (!old) {
      if (target(row)) row.classList.add("fresh");
      body.insertBefore(row, place);
      continue;
    }
    if (row !== old) old.replaceWith(row);
    place = row.nextElementSibling;
  }
  while (body.rows.length > 200) body.rows[body.rows.length - 1].remove();
}

async function freshen() {
  const lines = (await pageAnew())?.querySelector("table.changes tbody")?.rows;
  const body = document.querySelector("table.changes tbody");
  if (lines && body) merge(body, lines); else location.reload();
}

// A stream that is refused does not say why: who asks for its head alone is told.
async function whyNot(live) {
  const { status, redirected } = await fetch(live, { method: "HEAD" });
  if (redirected) return "Log in again to follow live";
  return status === 503 ? "Too many lists are followed live: try again later" : "Follow live";
}

function offerLive(holder) {
  const button = document.createElement("button");
  let [source, wanted, isAsking] = [null, false, false];
  button.type = "button";
  button.textContent = "Follow live";
  button.setAttribute("aria-pressed", "false");
  const stop = (told) => {
    source?.close();
    source = null;
    button.textContent = told;
    button.setAttribute("aria-pressed", "false");
  };
  button.addEventListener("click", () => {
    if (source) { stop("Follow live"); return; }
    source = new EventSource(holder.dataset.live);
    button.textContent = "Following live: stop";
    button.setAttribute("aria-pressed", "true");
    source.addEventListener("message", async () => {
      wanted = true;
      if (isAsking) return;
      isAsking = true;
      while (wanted && source) {
        wanted = false;
        await freshen().catch(() => stop("The list was not answered: try again later"));
      }
      isAsking = false;
    });
    source.addEventListener("more", () => stop("Many more came: load the page anew"));
    source.addEventListener("error", async () => {
      if (source?.readyState !== EventSource.CLOSED) return;
      stop("Follow live");
      button.textContent = await whyNot(holder.dataset.live).catch(() => "The gateway does not answer: try again later");
    });
  });
  holder.append(button);
}

for (const holder of document.querySelectorAll("[data-live]")) offerLive(holder);

// Keys: `/` searches, `j` and `k` walk through a list, Enter opens, `?` tells them.
const rows = () => [...document.querySelectorAll("tr.item")];

function walk(by) {
  const all = rows();
  if (all.length === 0) return;
  const former = all.findIndex((row) => row.classList.contains("here"));
  all[former]?.classList.remove("here");
  const at = Math.min(Math.max(former + by, 0), all.length - 1);
  all[at].classList.add("here");
  all[at].querySelector("a")?.focus();
  all[at].scrollIntoView({ block: "nearest" });
}

function help() {
  const open = document.querySelector("dialog.keys");
  if (open) { open.close(); return; }
  const dialog = document.createElement("dialog");
  dialog.className = "keys";
  dialog.setAttribute("aria-label", "Keys");
  const list = document.createElement("dl");
  const keys = { "/": "search", j: "next line", k: "line before", Enter: "open the line", r: "raw JSON",
    d: "side by side or inline", "?": "these keys", Esc: "close" };
  for (const [key, told] of Object.entries(keys)) {
    const dt = document.createElement("dt");
    const dd = document.createElement("dd");
    dt.textContent = key;
    dd.textContent = told;
    list.append(dt, dd);
  }
  dialog.append(list);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target.closest("input, textarea, select, [contenteditable]")) return;
  const keyed = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  const search = document.querySelector("input[type=search]");
  if (event.key === "/" && search) search.focus();
  else if (event.key === "/") location.assign("/changes#f-q");
  else if (event.key === "j") walk(1);
  else if (event.key === "k") walk(-1);
  else if (event.key === "?") help();
  else if (keyed) keyed.click();
  else return;
  event.preventDefault();
});
