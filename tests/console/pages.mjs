// Drives the console in Chromium: every page, both themes, three widths, with and without scripts.
// Fails where axe finds a violation, where a page says anything on the browser's console (a breach of
// the content security policy does), where it is wider than its window, or where a task can't be done.
//
// node pages.mjs CONSOLE GATEWAY TOKEN [FOLDER]: with a folder, screenshots are put there.
import AxeBuilder from "@axe-core/playwright";
import { chromium } from "playwright-core";
import assert from "node:assert/strict";

const [origin, gateway, token, folder] = process.argv.slice(2);
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
// In a container the browser's own sandbox can't be had.
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const found = [];

async function open(options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.on("console", (message) => {
    if (!/Password forms should have/.test(message.text())) found.push(`${page.url()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => found.push(`${page.url()}: ${error.message}`));
  await page.goto(`${origin}/login`);
  await page.fill("#token", token);
  await page.click("button[type=submit]");
  await page.waitForURL(`${origin}/`);
  return page;
}

async function paths(page) {
  const first = async (list, link) => {
    await page.goto(origin + list);
    return page.locator(link).first().getAttribute("href");
  };
  const denied = await first("/changes?decision=deny", "td.time a");
  const prompt = await first("/changes?path=/initial_events&outcome=applied", "td.time a");
  const approval = await first("/approvals", "td.time a");
  const deployment = await first("/deployments?name=support", "a.deployment");
  const policyText = await first("/policy/texts", "tr.item td:last-child a, tr.item td a");
  return {
    overview: "/", changes: "/changes", filtered: "/changes?since=7d&decision=deny&team=platform",
    columns: "/changes?columns=team,from,program,gateway", nothing: "/changes?team=nobody", denied, prompt, inline: `${prompt}?diff=inline`, dryRun: `${prompt}/revert`,
    deployments: "/deployments", deployment, state: `${deployment}?view=state`, blame: `${deployment}?view=blame`,
    approvals: "/approvals", all: "/approvals?state=all", approval, whole: `${approval}/change`, policy: "/policy", backtest: "/policy/backtest", texts: "/policy/texts", policyText, drift: "/drift",
    actors: "/actors", log: "/log", absent: "/changes/chg_00000000000000000000000000000000", login: "/login",
  };
}

async function look(page, name, path, { width, theme, scripts }) {
  const answer = await page.goto(origin + path);
  assert.ok(answer.status() < 400 || name === "absent", `${path}: ${answer.status()}`);
  const size = (await answer.body()).length;
  assert.ok(size < 200 << 10, `${path}: ${size} bytes`);
  const beyond = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (beyond > 0) found.push(`${path} at ${width}: ${beyond} pixels wider than its window`);
  // What axe does takes scripts; without them a page is the same but for buttons to copy. Between
  // the widest and the narrowest it finds nothing of its own.
  if (scripts && width !== 800) {
    const { violations } = await new AxeBuilder({ page }).analyze();
    for (const { id, nodes } of violations) {
      found.push(`${path} at ${width}, ${theme}: ${id}: ${nodes.map(({ html }) => html).slice(0, 2).join(" | ")}`);
    }
  }
  if (folder && scripts) await page.screenshot({ path: `${folder}/${name}-${width}-${theme}.png` });
}

// Tasks of people, as they do them.
async function tasks(page) {
  await page.goto(`${origin}/changes?path=/schedule&outcome=applied&since=7d`);
  await page.locator("tr.item", { hasText: "support-triage" }).first().locator("td.time a").click();
  assert.match(await page.locator("h1").innerText(), /support-triage/);
  assert.ok(await page.locator(".places del").first().isVisible(), "who moved a schedule is told, from what to what");

  await page.goto(`${origin}/approvals`);
  await page.locator("td.time a").first().click();
  await page.fill("#reason", "agreed on the phone");
  await page.click("button.primary");
  assert.match(await page.locator(".chip").first().innerText(), /approved/);

  await page.goto(`${origin}/changes?since=30d&decision=deny`);
  const download = page.waitForEvent("download");
  await page.click(".exports a");
  assert.equal((await download).suggestedFilename(), "changes.csv");

  await page.goto(`${origin}/policy`);
  await page.fill("#deployment_id", "dep_demo_triage");
  await page.fill("#patch", '{"schedule": {"type": "cron", "expression": "0 9 * * *", "timezone": "Mars/Base"}}');
  await page.click(".attempt button.primary");
  assert.match(await page.locator(".result").innerText(), /timezones/);

  await page.goto(`${origin}/policy/backtest`);
  await page.fill("#policy", '[timezones]\nallowed = ["Europe/Paris"]\n');
  await page.click(".attempt button.primary");
  await page.locator(".matrix a").first().click();
  assert.match(await page.locator(".result .broken a").first().getAttribute("href"), /^\/changes\/chg_/);
}

// A link in somebody's chat leads to its page, though the browser keeps the cookie back at first.
async function linked(page) {
  const link = `<a href="${origin}/changes?since=7d">see</a>`;
  await page.route("http://chat.example/", (route) => route.fulfill({ contentType: "text/html", body: link }));
  await page.goto("http://chat.example/");
  await page.click("a");
  await page.waitForSelector("h1:text('Changes')");
  assert.equal(page.url(), `${origin}/changes?since=7d`);
}

// The live tail: a change that is made meanwhile comes on top, below its day, with every column.
async function live(page) {
  await page.goto(`${origin}/changes?columns=team,from`);
  await page.click(".live button");
  const rows = await page.locator("tr.item").count();
  await page.evaluate(() => new Promise((done) => setTimeout(done, 500)));
  const answer = await fetch(`${gateway}/api/v1/cloud/deployments/dep_demo_invoices`, {
    method: "POST",
    headers: { authorization: "Bearer pt-demo-wang-li", "content-type": "application/json" },
    body: JSON.stringify({ description: "<b>told live</b>" }),
  });
  assert.equal(answer.status, 200);
  await page.waitForSelector("tr.fresh");
  assert.ok((await page.locator("tr.item").count()) > rows);
  const [heads, cells] = [page.locator("table.changes thead th"), page.locator("tr.fresh").first().locator("td")];
  assert.equal(await cells.count(), await heads.count());
  assert.match(await page.locator("table.changes tbody tr").first().getAttribute("class"), /day/);
  assert.match(await page.locator("tr.fresh .what").first().innerText(), /invoice/i);
  await page.click(".live button");
}

// Who has as many streams as there are for one is told why there is not another one.
async function crowded(page) {
  const cookies = (await page.context().cookies()).map(({ name, value }) => `${name}=${value}`);
  const leaving = new AbortController();
  const asking = { headers: { cookie: cookies.join("; ") }, signal: leaving.signal };
  // A stream that was closed a moment ago may not have made room yet.
  const [streams, end] = [[], Date.now() + 10_000];
  while (streams.length < 8) {
    const stream = await fetch(`${origin}/changes/live`, asking);
    if (stream.status === 200) streams.push(stream);
    else assert.ok(stream.status === 429 && Date.now() < end, `${streams.length} streams: ${stream.status}`);
    await new Promise((done) => setTimeout(done, 50));
  }
  // That a stream is refused is told on the browser's console of its own page.
  const other = await page.context().newPage();
  await other.goto(`${origin}/changes`);
  await other.click(".live button");
  await other.waitForSelector(".live button:text('Too many lists are followed live')");
  leaving.abort();
  await other.close();
}

// Keys, and times of the reader's own zone: what the script adds.
async function keys(page) {
  await page.goto(`${origin}/changes`);
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  assert.equal(await page.locator("tr.here").count(), 1);
  await page.keyboard.press("Enter");
  await page.waitForURL(/\/changes\/chg_/);
  await page.keyboard.press("?");
  assert.ok(await page.locator("dialog.keys").isVisible());
  await page.keyboard.press("Escape");
  await page.goto(`${origin}/changes`);
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.name), "q");
  assert.match(await page.locator("time").first().getAttribute("title"), /\(UTC\)\n/);
  await page.goto(`${origin}/policy`);
  await page.keyboard.press("/");
  await page.waitForURL(`${origin}/changes#f-q`);
  await page.locator("[data-zones] button").click();
  assert.match(await page.locator("td.time time").first().innerText(), /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d /);
}

for (const scripts of [true, false]) {
  for (const theme of ["light", "dark"]) {
    for (const width of scripts ? [1280, 800, 390] : [1280]) {
      const page = await open({ viewport: { width, height: 900 }, colorScheme: theme, javaScriptEnabled: scripts });
      for (const [name, path] of Object.entries(await paths(page))) await look(page, name, path, { width, theme, scripts });
      await page.context().close();
    }
  }
}
// The narrowest and the widest window that a page is made for.
for (const width of [320, 2560]) {
  const page = await open({ viewport: { width, height: width === 320 ? 600 : 1300 } });
  for (const [name, path] of Object.entries(await paths(page))) await look(page, name, path, { width, theme: "light", scripts: false });
  await page.goto(origin);
  if (folder) await page.screenshot({ path: `${folder}/overview-${width}.png` });
  await page.context().close();
}
for (const javaScriptEnabled of [true, false]) {
  const page = await open({ javaScriptEnabled, acceptDownloads: true, timezoneId: "Asia/Shanghai" });
  if (javaScriptEnabled) {
    await keys(page);
    await live(page);
    await crowded(page);
  } else await tasks(page);
  await linked(page);
  await page.context().close();
}
await browser.close();
const all = [...new Set(found)].filter((line) => !/status of 404/.test(line));
if (all.length > 0) {
  console.error(all.join("\n"));
  process.exit(1);
}
console.log("the console is as it should be in Chromium");
