"""What a plain HTTP client (aiohttp) sees of the deployments API at each base URL, in every way of
sending a body: one JSON line a step, and null after the last, for run.py to compare.

    plain.py TOKEN BASE_URL…
"""

import asyncio
import json
import sys

import aiohttp

DEPLOYMENT = "dep_019ec55a2b687b3f94eee77dd77e4b2a"


async def pieces(*parts):
    """A body of unknown length: it goes out in chunks."""
    for part in parts:
        yield part
        await asyncio.sleep(0.01)


async def tell(base, token):
    url = f"{base}/api/v1/cloud/deployments/{DEPLOYMENT}"
    json_type = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:

        async def step(name, method, url, **arguments):
            try:
                async with session.request(method, url, **arguments) as answer:
                    seen = {
                        "status": answer.status,
                        "reason": answer.reason,
                        "type": answer.headers.get("content-type"),
                        "body": await answer.text(),
                    }
            except aiohttp.ClientError as error:
                seen = {"raised": type(error).__name__}
            print(json.dumps([name, seen]), flush=True)

        update = {"name": "plain", "description": "ü"}
        await step("retrieve", "GET", url)
        await step("head", "HEAD", url)
        await step("update", "POST", url, json=update)
        await step("with 100-continue", "POST", url, json={"name": "waits"}, expect100=True)
        parts = pieces(b'{"name":', b'"chunks"}')
        await step("in chunks", "POST", url, data=parts, headers=json_type)
        await step("compressed answer", "GET", url, headers={"Accept-Encoding": "gzip"})
        await step("pause without a body", "POST", f"{url}/pause")
        await step("unpause with an empty body", "POST", f"{url}/unpause", data=b"")
        await step("pause with no chunk", "POST", f"{url}/pause", data=pieces())
        await step("unpause with an object", "POST", f"{url}/unpause", json={})
        await step("run with an empty form", "POST", f"{url}/run", data={})
        await step("run waiting", "POST", f"{url}/run", expect100=True)
        await step("runs", "GET", f"{url}/runs?limit=1")
        await step("created since", "GET", f"{url}?created_at[gte]=2026-01-01T00:00:00Z")
        await step("not a field", "POST", url, json={"name": 7})
        await step("an unknown verb", "GET", f"{url}/explode")
        await step("files", "POST", f"{base}/api/v1/cloud/files", data=pieces(b"x" * 70_000, b"y"))
        await step("events", "GET", f"{base}/api/v1/cloud/sessions/s/events/stream?count=3&delay=5")
        zone = {"type": "cron", "expression": "0 9 * * *", "timezone": "America/New_York"}
        await step("another schedule", "POST", url, json={"schedule": zone | {"timezone": "UTC"}})
        await step("archive", "POST", f"{url}/archive", data=b"")
        await step("pause what is archived", "POST", f"{url}/pause")
        await step("a zone that the policy denies", "POST", url, json={"schedule": zone})
    print("null", flush=True)


token, *bases = sys.argv[1:]
for base in bases:
    asyncio.run(tell(base, token))
