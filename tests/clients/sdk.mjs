// What Anthropic's SDK for JavaScript sees of the deployments API at each base URL: one JSON line a
// step, and null after the last, for run.py to compare.
//
//     node sdk.mjs TOKEN BASE_URL…        (in the folder where node_modules lies)

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(pathToFileURL(`${process.cwd()}/package.json`));
const { Anthropic } = require("@anthropic-ai/sdk");

const schedule = { type: "cron", expression: "30 9 * * 1-5", timezone: "Asia/Shanghai" };

async function step(name, call) {
  let seen;
  let answer;
  try {
    answer = await call();
    seen = answer;
  } catch (error) {
    seen = {
      raised: error.constructor.name,
      status: error.status ?? null,
      body: error.error ?? null,
      named: Boolean(error.requestID),
    };
    if (seen.status === null) seen.message = String(error);
  }
  console.log(JSON.stringify([name, seen]));
  return answer;
}

async function all(pages) {
  const items = [];
  for await (const item of pages) items.push(item);
  return items;
}

/** The answer with its status, as the SDK tells both. */
async function whole(call) {
  const { data, response } = await call.withResponse();
  return { status: response.status, type: response.headers.get("content-type"), data };
}

async function tell(baseURL, token) {
  const beta = (apiKey) => new Anthropic({ apiKey, baseURL, maxRetries: 0 }).beta;
  const mine = beta(token);
  const { deployments: d, deploymentRuns: runs } = mine;
  const agent = await step("agent", () => mine.agents.create({ name: "a", model: "claude-opus-4-6" }));
  const environment = await step("environment", () => mine.environments.create({ name: token }));
  const create = (name) =>
    d.create({
      agent: agent.id,
      environment_id: environment.id,
      initial_events: [{ type: "user.message", content: [{ type: "text", text: "report" }] }],
      name,
      schedule,
    });
  const created = await step("create 1", () => create("d1"));
  const other = await step("create 2", () => create("d2"));
  const id = created.id;
  await step("retrieve", () => whole(d.retrieve(id)));
  await step("rename", () => whole(d.update(id, { name: "夜间", description: "x" })));
  await step("clear a text", () => d.update(id, { description: null }));
  await step("set keys", () => d.update(id, { metadata: { owner: "a", team: "b" } }));
  await step("delete a key", () => d.update(id, { metadata: { team: null } }));
  await step("no schedule", () => d.update(id, { schedule: null }));
  await step("bad field", () => d.update(id, { schedule: { ...schedule, expression: "nonsense" } }));
  await step("pause", () => whole(d.pause(id)));
  await step("pause again", () => d.pause(id));
  await step("unpause", () => d.unpause(id));
  await step("run", () => d.run(id));
  await step("run again", () => d.run(id));
  await step("runs, page by page", () => all(runs.list({ deployment_id: id, limit: 1 })));
  await step("archive", () => whole(d.archive(id)));
  await step("update what is archived", () => d.update(id, { name: "y" }));
  await step("list, page by page", () => all(d.list({ limit: 1 })));
  await step("list archived", () => all(d.list({ include_archived: true })));
  await step("nobody", () => d.retrieve("dep_nobody"));
  await step("wrong token reads", () => beta("pt-invalid").deployments.retrieve(id));
  await step("wrong token writes", () => beta("pt-invalid").deployments.update(id, { name: "x" }));
  const denied = { ...schedule, timezone: "America/New_York" };
  await step("a zone that the policy denies", () => d.update(other.id, { schedule: denied }));
  await step("the former zone", () => d.update(other.id, { schedule }));
  console.log("null");
}

const [token, ...bases] = process.argv.slice(2);
for (const base of bases) await tell(base, token);
