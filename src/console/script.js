// What pages do beside showing: times in the reader's zone on hover, copying, keys. Everything
// there is works without it. No text becomes markup here.
"use strict";

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const local = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "medium" });

function tellLocally(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.valueOf())) time.title = `${time.dateTime} (UTC)\n${local.format(at)} (${zone})`;
  }
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
for (const holder of document.querySelectorAll("[data-copy]")) offerCopy(holder);

// The live tail: new changes come on top of the list while a button is pressed.
function cell(row, name, ...parts) {
  const td = document.createElement("td");
  td.className = name;
  td.append(...parts);
  row.append(td);
  return td;
}

function link(target, text, name) {
  const a = document.createElement("a");
  a.href = target;
  a.textContent = text;
  a.className = name;
  return a;
}

function line(change) {
  const row = document.createElement("tr");
  row.className = "item fresh";
  const time = document.createElement("time");
  time.dateTime = change.at;
  time.textContent = change.at.slice(11, 19);
  const opened = link(`/changes/${change.id}`, "", "");
  opened.append(time);
  cell(row, "time", opened);
  const actor = document.createElement("span");
  actor.className = "actor";
  actor.textContent = change.actor;
  const what = cell(row, "what", actor, ` ${change.deed} `);
  what.append(change.target ? link(change.target, change.deployment, "deployment") : "a new deployment");
  if (change.why) {
    const why = document.createElement("div");
    why.className = "why";
    why.textContent = change.why;
    what.append(why);
  }
  const chip = document.createElement("span");
  chip.className = `chip ${change.tone}`;
  chip.textContent = change.outcome;
  cell(row, "end", chip);
  cell(row, "rare", link(`/changes/${change.id}`, `${change.id.slice(0, 16)}…`, ""));
  tellLocally(row);
  return row;
}

function offerLive(holder) {
  const button = document.createElement("button");
  let source = null;
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
    source.addEventListener("message", ({ data }) => {
      const body = document.querySelector("table.changes tbody");
      if (!body) { location.reload(); return; }
      body.prepend(line(JSON.parse(data)));
      while (body.rows.length > 200) body.rows[body.rows.length - 1].remove();
    });
    source.addEventListener("more", () => stop("Many more came: load the page anew"));
    source.addEventListener("error", () => { if (source?.readyState === EventSource.CLOSED) stop("Follow live"); });
  });
  holder.append(button);
}

for (const holder of document.querySelectorAll("[data-live]")) offerLive(holder);

// Keys: `/` searches, `j` and `k` walk through a list, Enter opens, `?` tells them.
const rows = () => [...document.querySelectorAll("tr.item")];
let at = -1;

function walk(by) {
  const all = rows();
  if (all.length === 0) return;
  all[at]?.classList.remove("here");
  at = Math.min(Math.max(at + by, 0), all.length - 1);
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
  if (event.key === "/") document.querySelector("input[type=search]")?.focus();
  else if (event.key === "j") walk(1);
  else if (event.key === "k") walk(-1);
  else if (event.key === "?") help();
  else if (keyed) keyed.click();
  else return;
  event.preventDefault();
});
