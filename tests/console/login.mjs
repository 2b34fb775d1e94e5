// Logs in to the console at a certified issuer of OpenID Connect, in Chromium, as people do: with ID
// tokens by RS256 and ES256, with and without a client's secret, and once the issuer has new keys.
//
// node login.mjs CHANGEGATE: the program's path.
import AxeBuilder from "@axe-core/playwright";
import { chromium } from "playwright-core";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
// It tells of each default that is not for production.
console.info = console.warn = () => {};
const { Provider } = await import("oidc-provider");

const [program] = process.argv.slice(2);
const rest = (millis) => new Promise((done) => setTimeout(done, millis));
const folder = mkdtempSync(join(tmpdir(), "changegate-login-"));
const secret = "s3cr3t with + and % and : in it";
writeFileSync(join(folder, "secret"), `${secret}\n`, { mode: 0o600 });

const free = () =>
  new Promise((done) => {
    const listener = createServer().listen(0, "127.0.0.1", () => {
      const { port } = listener.address();
      listener.close(() => done(port));
    });
  });
const [issuerPort, admin] = [await free(), await free()];
// Another site than the console's, for the browser.
const issuer = `http://localhost:${issuerPort}`;
const origin = `http://127.0.0.1:${admin}`;

const people = {
  lee: { email: "lee@example.com", email_verified: true, groups: ["platform-leads", "everyone"] },
  ana: { email: "ana@example.com", email_verified: true, groups: ["compliance"] },
  new: { email: "new@example.com", email_verified: true, groups: [] },
  sly: { email: "lee@example.com", email_verified: false, groups: ["platform-leads"] },
};
const clients = [
  { client_id: "basic", client_secret: secret, token_endpoint_auth_method: "client_secret_basic" },
  { client_id: "post", client_secret: secret, token_endpoint_auth_method: "client_secret_post", id_token_signed_response_alg: "ES256" },
  { client_id: "public", token_endpoint_auth_method: "none" },
].map((client) => ({ ...client, redirect_uris: [`${origin}/login/oidc/callback`] }));

/** Starts the issuer, with keys that it never had. */
function issue() {
  const pair = (type, options) => generateKeyPairSync(type, options).privateKey.export({ format: "jwk" });
  const keys = [pair("rsa", { modulusLength: 2048 }), pair("ec", { namedCurve: "P-256" })];
  const provider = new Provider(issuer, {
    clients,
    jwks: { keys },
    claims: { openid: ["sub"], email: ["email", "email_verified"], groups: ["groups"] },
    conformIdTokenClaims: false,
    findAccount: (_context, id) => ({ accountId: id, claims: () => ({ sub: id, ...people[id] }) }),
  });
  return new Promise((done) => {
    const server = provider.listen(issuerPort, "localhost", () => done(server));
  });
}

const configured = (client, roles) => `
listen.proxy = "127.0.0.1:0"
listen.admin = "127.0.0.1:${admin}"
upstream.provider = "qoder-cn"
upstream.url = "http://127.0.0.1:9"
[[admin.token]]
name = "a program"
sha256 = "${"0".repeat(64)}"
role = "viewer"
[admin.oidc]
issuer = "${issuer}"
client_id = "${client}"
${client === "public" ? "" : 'client_secret_file = "secret"'}
redirect_url = "${origin}/login/oidc/callback"
scopes = ["openid", "email", "groups"]
person_claim = "email"
[admin.roles]
${roles}
default = "none"
`;
const roles = 'auditor = ["compliance"]\napprover = ["platform-leads"]';

function configure(client, text = roles) {
  writeFileSync(join(folder, "changegate.toml"), configured(client, text));
}

async function serve() {
  const gateway = spawn(program, ["serve"], { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  gateway.stderr.on("data", (text) => (said += text));
  for (let tries = 0; tries < 200; tries++) {
    assert.equal(gateway.exitCode, null, said);
    if ((await fetch(`${origin}/healthz`).catch(() => null))?.ok) return gateway;
    await rest(100);
  }
  assert.fail(said);
}

const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });

/** A browser that nobody has logged in by, on the issuer's form for a name. */
async function begun(javaScriptEnabled = true) {
  const context = await browser.newContext({ javaScriptEnabled });
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  await page.goto(`${origin}/changes?since=7d`);
  await page.click("text=Log in with localhost");
  await page.waitForSelector("input[name=login]");
  return page;
}

/** A browser in which somebody has logged in at the issuer, and agreed there. */
async function logged(name, javaScriptEnabled) {
  const page = await begun(javaScriptEnabled);
  await page.fill("input[name=login]", name);
  await page.fill("input[name=password]", "any");
  await page.click("button[type=submit]");
  await page.click("text=Continue");
  await page.waitForURL(`${origin}/**`);
  return page;
}

async function isIn(page, name, role) {
  await page.waitForSelector("h1:text('Changes')");
  assert.equal(page.url(), `${origin}/changes?since=7d`, "the page that was asked for");
  const shown = await page.locator("header").innerText();
  assert.ok(shown.includes(name) && shown.includes(role), shown);
}

let server = await issue();
let gateway;
try {
  for (const { client_id: client } of clients) {
    configure(client);
    gateway = await serve();
    for (const scripts of [true, false]) {
      const page = await logged("lee", scripts);
      await isIn(page, "lee@example.com", "approver");
      await page.context().close();
    }
    gateway.kill();
    await new Promise((done) => gateway.once("exit", done));
  }

  configure("basic");
  gateway = await serve();
  const page = await logged("ana");
  await isIn(page, "ana@example.com", "auditor");
  const cookies = await page.context().cookies(origin);
  assert.deepEqual(cookies.map(({ httpOnly, sameSite }) => [httpOnly, sameSite]), [[true, "Strict"]]);

  // In no group that has a role; and by an address that is somebody else's.
  for (const [name, told] of [["new", /role/i], ["sly", /email/i]]) {
    const stranger = await logged(name);
    assert.match(await stranger.locator("body").innerText(), told);
    assert.equal((await stranger.goto(`${origin}/changes`)).url().startsWith(`${origin}/login`), true);
    await stranger.context().close();
  }

  // Who does not agree at the issuer is told so here.
  const unwilling = await begun();
  await unwilling.click("text=Cancel");
  await unwilling.waitForURL(`${origin}/**`);
  assert.match(await unwilling.locator(".wrong").innerText(), /access_denied/);
  assert.deepEqual((await new AxeBuilder({ page: unwilling }).analyze()).violations, []);
  // What came back is of that browser alone, and once.
  const other = await (await browser.newContext()).newPage();
  assert.equal((await other.goto(unwilling.url())).status(), 400);

  // The issuer signs by other keys now.
  await new Promise((done) => server.close(done) && server.closeAllConnections());
  server = await issue();
  await rest(10_500);
  const later = await logged("lee");
  await isIn(later, "lee@example.com", "approver");

  // Whose group has no role any more is out at once.
  configure("basic", 'auditor = ["compliance"]');
  gateway.kill("SIGHUP");
  for (let tries = 0; tries < 100 && !later.url().startsWith(`${origin}/login`); tries++) {
    await rest(100);
    await later.reload();
  }
  assert.ok(later.url().startsWith(`${origin}/login`), later.url());
} finally {
  await browser.close();
  server.close();
  server.closeAllConnections();
  if (gateway && gateway.exitCode === null && gateway.signalCode === null) {
    // It writes into the folder to its end.
    const ended = new Promise((done) => gateway.once("exit", done));
    gateway.kill();
    await ended;
  }
  rmSync(folder, { recursive: true });
}
console.log("people log in to the console at an issuer of OpenID Connect");
