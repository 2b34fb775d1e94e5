"""Lets real clients make the same calls of two equal upstreams, one of them behind the gateway, and
compares what the clients see: answers, typed errors, pages. Exits with 1 where anything differs.

    run.py CHANGEGATE ENVIRONMENTS SECONDS

ENVIRONMENTS is the folder that .ci/clients has filled; a client that is missing there is left out,
and so is one that can't begin in time for SECONDS.
"""

import contextlib
import difflib
import itertools
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROGRAM, ENVIRONMENTS = (Path(argument).resolve() for argument in sys.argv[1:3])
END = time.monotonic() + float(sys.argv[3])

#: The longest that a server's start, or one client's calls, may take.
START_SECONDS, CALLS_SECONDS = 60, 100

POLICY = '[timezones]\nallowed = ["Asia/Shanghai", "UTC"]\n'

#: The step that the policy denies: it passes without the gateway, and must not with it.
DENIED = "a zone that the policy denies"

#: Every operation that clients' calls leave in the log.
OPERATIONS = {"create", "update", "archive", "pause", "unpause", "run"}

#: Clients, with the folder that they are installed in and what they run, by what is before them:
#: an upstream, and the provider whose API it speaks.
CASES = {
    ("simulator", "qoder-cn"): [
        ("qca-sdk", "python", ["sdk.py", "qca"]),
        ("aiohttp", "python", ["plain.py"]),
    ],
    ("simulator", "claude"): [
        ("anthropic", "python", ["sdk.py", "anthropic"]),
        ("anthropic 0", "python-0", ["sdk.py", "anthropic"]),
        ("@anthropic-ai/sdk", "js", ["sdk.mjs"]),
    ],
    ("open-managed-agents", "claude"): [
        ("anthropic", "python", ["sdk.py", "anthropic"]),
        ("anthropic 0", "python-0", ["sdk.py", "anthropic"]),
        ("@anthropic-ai/sdk", "js", ["sdk.mjs"]),
    ],
}

#: A token for each client of an upstream, so that each has a rate limit of its own.
TOKENS = ["pt-client-0", "pt-client-1", "pt-client-2"]


def is_installed(name):
    return name == "simulator" or (ENVIRONMENTS / name / "ready").exists()


def waited_for(what, found):
    """The first result of `found` that is one."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if result := found():
            return result
        time.sleep(0.02)
    raise SystemExit(f"{what} did not start within {START_SECONDS} seconds")


@contextlib.contextmanager
def process(argv, log):
    """A process in the log's folder; it ends with the block."""
    with open(log, "w") as out:
        started = subprocess.Popen(argv, stdout=out, stderr=out, cwd=log.parent)
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            started.kill()


@contextlib.contextmanager
def simulator(provider, folder):
    log = folder / "upstream.log"
    argv = [PROGRAM, "simulate", "--listen", "127.0.0.1:0", "--provider", provider]
    with process(argv, log):
        told = waited_for("the simulator", lambda: re.search(r"http://[\d.:]+", log.read_text()))
        yield told[0]


@contextlib.contextmanager
def open_managed_agents(_provider, folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    python, log = ENVIRONMENTS / "open-managed-agents/bin/python", folder / "upstream.log"
    argv = [python, HERE / "oma.py", str(port), folder / "agents.db", ",".join(TOKENS)]
    with process(argv, log) as server:

        def listening():
            if server.poll() is not None:
                raise SystemExit(f"open-managed-agents has ended:\n{log.read_text()}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return True

        waited_for("open-managed-agents", listening)
        yield f"http://127.0.0.1:{port}"


UPSTREAMS = {"simulator": simulator, "open-managed-agents": open_managed_agents}


@contextlib.contextmanager
def gateway(provider, upstream, folder):
    listen = '[listen]\nproxy = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\n'
    config = f'{listen}[upstream]\nprovider = "{provider}"\nurl = "{upstream}"\n'
    (folder / "policy.toml").write_text(POLICY)
    (folder / "changegate.toml").write_text(f'{config}[policy]\nfile = "policy.toml"\n')
    log = folder / "gateway.log"
    with process([PROGRAM, "serve"], log) as server:

        def serving():
            if server.poll() is not None:
                raise SystemExit(f"the gateway has ended:\n{log.read_text()}")
            lines = [line for line in log.read_text().splitlines() if line.endswith("}")]
            told = [json.loads(line) for line in lines if line.startswith("{")]
            return next((line["proxy"] for line in told if line["message"] == "serving"), None)

        yield f"http://{waited_for('the gateway', serving)}"


def transcripts(environment, script, token, bases):
    """What the client sees at each base URL, step by step."""
    runner = "node" if environment == "js" else ENVIRONMENTS / environment / "bin/python"
    own = {name: value for name, value in os.environ.items() if name in ("HOME", "PATH")}
    ran = subprocess.run(
        [runner, HERE / script[0], *script[1:], token, *bases],
        cwd=ENVIRONMENTS / environment,
        env=own | {"NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=CALLS_SECONDS,
    )
    if ran.returncode != 0:
        raise SystemExit(f"{' '.join(script)} broke:\n{ran.stdout}{ran.stderr}")
    told = [json.loads(line) for line in ran.stdout.splitlines()]
    parts = itertools.groupby(told, lambda step: step is not None)
    return [list(steps) for is_told, steps in parts if is_told]


def alike(steps):
    """Steps as lines, in which what is new each time has a name by its first place."""
    names = {}

    def named(found):
        return names.setdefault(found[0], f"{found[0].rsplit('_', 1)[0]}_#{len(names)}")

    lines = []
    for name, seen in steps:
        text = json.dumps(seen, ensure_ascii=False, sort_keys=True, indent=1)
        text = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d[\d:.]*(Z|\+00:00)?", "<time>", text)
        text = re.sub(r'(_archived_|sent_at\\?":)\d+', r"\1<time>", text)
        text = re.sub(r"\breq_\w{8,}", "<request>", text)
        text = re.sub(r"\b[a-z]+(?:_[a-z]+)*_(?=\w*\d)\w{16,}", named, text)
        lines += [f"== {name}", *text.splitlines()]
    return lines


def differences(direct, through):
    """Where two transcripts differ."""
    untold = [seen for _name, seen in direct if isinstance(seen, dict) and "named" in seen]
    if not all(seen["named"] for seen in untold):
        # The gateway names requests where upstream does not.
        for _name, seen in direct + through:
            if isinstance(seen, dict):
                seen.pop("named", None)
    told = [alike(step for step in steps if step[0] != DENIED) for steps in (direct, through)]
    return difflib.unified_diff(*told, "direct", "through the gateway", lineterm="", n=4)


def denial(steps):
    """What is wrong with how the client sees the policy's denial."""
    seen = next((seen for name, seen in steps if name == DENIED), None)
    told = json.dumps(seen)
    if seen is None or seen.get("status") != 403 or "(Changegate, chg_" not in told:
        return [f"{DENIED}: it is seen as {told}"]
    if seen.get("raised", "PermissionDeniedError") != "PermissionDeniedError":
        return [f"{DENIED}: it is raised as {seen['raised']}"]
    return []


def unrecorded(folder):
    """What the log lacks."""
    argv = [PROGRAM, "audit", "list", "--all", "--json"]
    listed = subprocess.run(argv, cwd=folder, check=True, capture_output=True, text=True)
    changes = [json.loads(line) for line in listed.stdout.splitlines()]
    applied = {change["operation"] for change in changes if change["outcome"] == "applied"}
    wrong = [f"no {operation} is recorded as applied" for operation in OPERATIONS - applied]
    unclear = [change for change in changes if change["outcome"] in ("pending", "unknown")]
    return wrong + [f"{change['id']} is {change['outcome']}" for change in unclear]


def run(upstream, provider, clients, folder):
    """Each client with the number of its steps and all that is wrong, the log's part last."""
    folders = [folder / name for name in ("direct", "through")]
    for made in folders:
        made.mkdir()
    with contextlib.ExitStack() as stack:
        start = UPSTREAMS[upstream]
        bases = [stack.enter_context(start(provider, at)) for at in folders]
        bases[1] = stack.enter_context(gateway(provider, bases[1], folders[1]))
        for (client, environment, script), token in zip(clients, TOKENS):
            direct, through = transcripts(environment, script, token, bases)
            yield client, len(direct), denial(through) + [*differences(direct, through)]
        yield "the log", len(OPERATIONS), unrecorded(folders[1])


def main():
    passed = failed = 0
    for (upstream, provider), clients in CASES.items():
        installed = [client for client in clients if is_installed(client[1])]
        if not installed or not is_installed(upstream):
            continue
        if time.monotonic() + CALLS_SECONDS > END:
            print(f"left out, there is no time left: {upstream}, {provider}")
            continue
        with tempfile.TemporaryDirectory() as folder:
            for what, steps, wrong in run(upstream, provider, installed, Path(folder)):
                failed += bool(wrong)
                passed += not wrong
                said = "DIFFERS" if wrong else f"the same in {steps} steps"
                print(f"{what} before {upstream}, {provider}: {said}", *wrong, sep="\n", flush=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


main()
