"""What an SDK of Python sees of the deployments API at each base URL: one JSON line a step, and null
after the last, for run.py to compare.

    sdk.py qca|anthropic TOKEN BASE_URL…
"""

import json
import sys

SCHEDULE = {"type": "cron", "expression": "30 9 * * 1-5", "timezone": "Asia/Shanghai"}
EVENTS = [{"type": "user.message", "content": [{"type": "text", "text": "report"}]}]


def plain(value):
    """A typed answer as JSON."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return value


def step(name, call):
    """Makes a call, prints what came of it, and returns the answer where there is one."""
    try:
        answer = call()
    except Exception as error:  # Every kind is a result: its class is compared.
        seen = {
            "raised": type(error).__name__,
            "status": getattr(error, "status_code", None),
            "body": getattr(error, "body", None),
            "named": bool(getattr(error, "request_id", None)),
        }
        if seen["status"] is None:
            seen["message"] = str(error)
        print(json.dumps([name, seen]), flush=True)
        return None
    print(json.dumps([name, plain(answer)], default=str), flush=True)
    return answer


class Qca:
    """Qoder's own SDK."""

    def __init__(self, base, token):
        import qca

        self.client = lambda token: qca.Managed(
            pat=token, base_url=f"{base}/api/v1/cloud/", max_retries=0
        )
        self.deployments = self.client(token).deployments
        self.wrong = self.client("pt-invalid").deployments
        self.agent = "agent_019ebb21ef8e7df6a559052c94875160"
        self.environment = "env_019e49a1780171daac1e6b01f290ac2b"
        self.more = {"workspace_id": "w1", "betas": ["b1"]}

    def runs(self, deployment_id):
        return self.deployments.runs.list(deployment_id, limit=1)


class Anthropic:
    """Anthropic's SDK, of either major version."""

    def __init__(self, base, token):
        import anthropic

        def client(token):
            return anthropic.Anthropic(api_key=token, base_url=base, max_retries=0).beta

        beta = client(token)
        self.deployments = beta.deployments
        self.run_list = beta.deployment_runs
        self.wrong = client("pt-invalid").deployments
        self.agent = step("agent", lambda: beta.agents.create(name="a", model="claude-opus-4-6")).id
        self.environment = step("environment", lambda: beta.environments.create(name=token)).id
        self.more = {}

    def runs(self, deployment_id):
        return self.run_list.list(deployment_id=deployment_id, limit=1)


def tell(client):
    d, more = client.deployments, client.more

    def create(name, **fields):
        return d.create(
            agent=client.agent,
            environment_id=client.environment,
            initial_events=EVENTS,
            name=name,
            **fields,
            **more,
        )

    created = [step(f"create {n}", lambda n=n: create(f"d{n}", schedule=SCHEDULE)) for n in "123"]
    one = created[0].id
    step("retrieve", lambda: d.retrieve(one))
    step("rename", lambda: d.update(one, name="夜间", description="x", **more))
    step("clear a text", lambda: d.update(one, description=None))
    step("set keys", lambda: d.update(one, metadata={"owner": "a", "team": "b"}))
    step("delete a key", lambda: d.update(one, metadata={"team": None}))
    step("same again", lambda: d.update(one, metadata={"owner": "a"}))
    step("another schedule", lambda: d.update(one, schedule=SCHEDULE | {"expression": "0 8 * * *"}))
    step("no schedule", lambda: d.update(one, schedule=None))
    step("retrieve again", lambda: d.retrieve(one))
    step("bad field", lambda: d.update(one, schedule=SCHEDULE | {"expression": "nonsense"}))
    step("pause", lambda: d.pause(one))
    step("pause again", lambda: d.pause(one))
    step("list paused", lambda: [plain(item) for item in d.list(status="paused")])
    step("unpause", lambda: d.unpause(one, **more))
    step("run", lambda: d.run(one))
    step("run again", lambda: d.run(one))
    step("runs, page by page", lambda: [plain(item) for item in client.runs(one)])
    step("archive", lambda: d.archive(one))
    step("update what is archived", lambda: d.update(one, name="y"))
    step("list, page by page", lambda: [plain(item) for item in d.list(limit=1)])
    step("list archived", lambda: [plain(item) for item in d.list(include_archived=True)])
    step("bad limit", lambda: [plain(item) for item in d.list(limit=100_000)])
    step("nobody", lambda: d.retrieve("dep_nobody"))
    step("update nobody", lambda: d.update("dep_nobody", name="x"))
    step("wrong token reads", lambda: client.wrong.retrieve(one))
    step("wrong token writes", lambda: client.wrong.update(one, name="x"))
    denied = SCHEDULE | {"timezone": "America/New_York"}
    step("a zone that the policy denies", lambda: d.update(created[1].id, schedule=denied))
    step("the former zone", lambda: d.update(created[1].id, schedule=SCHEDULE))
    print("null", flush=True)


kind, token, *bases = sys.argv[1:]
for base in bases:
    tell({"qca": Qca, "anthropic": Anthropic}[kind](base, token))
