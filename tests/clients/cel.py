#!/usr/bin/env python3
"""Holds the checker and the evaluator of rules in CEL against another implementation.

Expressions are made at random, most of them sound. Google's own implementation (cel-expr-python)
types and evaluates each; then `changegate check` reads them as rules, and `changegate policy test`
says which of those that both take hold.

    cel.py CHANGEGATE [EXPRESSIONS [SEED]]
"""

import json
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from cel_expr_python import cel

# Forms of expressions by the kind that they give, in which $B stands for one of that kind: B a bool, I an
# int, U a uint, D a double, S a string, L a list of strings, M a map of ints, T a timestamp, G a duration.
# Doubles are not divided: nothing is in order with what is no number, which is an error in rules.
FORMS = {
    "B": ["true", "false", "($B && $B)", "($B || $B)", "!($B)", "($B ? $B : $B)", "($I == $I)", "($S == $S)",
          "($L == $L)", "($M == $M)", "($I < $I)", "($S >= $S)", "($D < $D)", "($U != $U)", "($S in $L)",
          "($S in $M)", "$L.all(e, e != $S)", "$L.exists(e, e == $S)", "$L.exists_one(e, e == $S)",
          "$S.startsWith($S)", "$S.endsWith($S)", "$S.contains($S)", "$S.matches('a|b')", "has({'a': $I}.a)",
          "($T < $T)", "($G == $G)", "($T == $T)", "($B == $B)", "$L.map(e, $I).all(n, n < $I)"],
    "I": ["0", "1", "-7", "9223372036854775807", "($I + $I)", "($I - $I)", "($I * $I)", "($I / $I)",
          "($I % $I)", "-($I)", "size($S)", "size($L)", "$M.size()", "int($S)", "int($D)", "int($U)", "{'a': $I}.a",
          "{'a': $I, 'b': $I}[$S]", "[$I, $I][$I]", "($B ? $I : $I)", "$T.getFullYear()", "$G.getSeconds()"],
    "U": ["0u", "3u", "($U + $U)", "($U - $U)", "($U * $U)", "uint($I)", "($B ? $U : $U)"],
    "D": ["0.0", "1.5", "-2e3", "($D + $D)", "($D * $D)", "double($I)", "double($S)"],
    "S": ["''", "'a'", "'b'", "'12'", "'é😀'", "($S + $S)", "string($I)", "string($B)", "string($U)",
          "($B ? $S : $S)", "[$S, $S][$I]"],
    "L": ["[]", "['a']", "[$S, $S]", "($L + $L)", "$L.map(e, e + $S)", "$L.filter(e, $B)", "($B ? $L : $L)"],
    "M": ["{}", "{'a': 1}", "{$S: $I}", "($B ? $M : $M)"],
    "T": ["timestamp('2026-03-29T01:30:00Z')", "($T + $G)", "($T - $G)", "timestamp($S)"],
    "G": ["duration('90m')", "duration('-1.5s')", "($T - $T)", "($G + $G)", "duration($S)"],
}

# What rules take and the other implementation does not, by its message.
WIDER = [
    # It types what it can't evaluate: duration(1).
    re.compile(r"no function for it"),
    # Numbers of two kinds compare: `1 < 1.5`.
    re.compile(r"'_(<|<=|>|>=|==|!=)_' applied to '\((int|uint|double), (int|uint|double)\)'"),
    # Both ways of a condition may give what they like.
    re.compile(r"'_\?_:_' applied to"),
    # What an empty list holds is not found out from what is done with it.
    re.compile(r"\[\]\.(map|filter)"),
]

# What the other implementation takes and the specification does not know, by the rules' message.
NARROWER = [re.compile(r"`int` does not take a duration")]

# A decision tells of a hundred broken rules.
ROUND = 90


def grown(kind, depth):
    """An expression that mostly gives what is asked for."""
    if random.random() < 0.02:
        kind = random.choice(list(FORMS))
    form = random.choice([form for form in FORMS[kind] if depth > 0 or "$" not in form])
    return re.sub(r"\$([A-Z])", lambda inner: grown(inner.group(1), depth - 1), form)


def theirs(env, expression):
    """What the other implementation says: ('refused', why), ('error', why) or ('value', it)."""
    try:
        compiled = env.compile(expression)
    except RuntimeError as error:
        return "refused", str(error)
    if compiled.return_type().name() not in ("BOOL", "bool"):
        return "refused", "no bool"
    found = compiled.eval(data={}).value()
    if "No matching overloads" in str(found):
        return "refused", f"no function for it: {found}"
    return ("value", found) if isinstance(found, bool) else ("error", str(found))


def rules_of(expressions):
    return "".join(
        f"[[rule]]\nname = \"r{n}\"\nrequire = {json.dumps(expression, ensure_ascii=False)}\n"
        for n, expression in expressions)


def run(program, *arguments, folder):
    return subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, timeout=300)


def round_of(program, env, folder):
    expressions = [(n, grown("B", 4)) for n in range(ROUND)]
    expressions = [(n, e) for n, e in expressions if len(e) < 2_000]
    said = {n: theirs(env, e) for n, e in expressions}
    (folder / "policy.toml").write_text(rules_of(expressions))
    checked = run(program, "check", "--config", "changegate.toml", folder=folder)
    refused = {int(n): why for n, why in re.findall(r"of the rule `r(\d+)`: (.*)", checked.stdout + checked.stderr)}
    return expressions, said, refused


def main():
    program = str(Path(sys.argv[1]).resolve())
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 4_000
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(1 << 32)
    random.seed(seed)
    env = cel.NewEnv(variables={})
    faults, compared, held = [], 0, 0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "changegate.toml").write_text(
            '[upstream]\nurl = "http://127.0.0.1:9"\nprovider = "qoder-cn"\n[policy]\nfile = "policy.toml"\n')
        while compared < count:
            expressions, said, refused = round_of(program, env, folder)
            compared += len(expressions)
            both = []
            for n, expression in expressions:
                kind, what = said[n]
                if kind == "refused" and n not in refused:
                    if not any(wider.search(what) for wider in WIDER):
                        faults.append(f"taken, though it is unsound: {expression}\n    {what.splitlines()[0]}")
                elif kind != "refused" and n in refused:
                    if not any(narrower.search(refused[n]) for narrower in NARROWER):
                        faults.append(f"refused, though it is sound: {expression}\n    {refused[n]}")
                elif kind != "refused":
                    both.append((n, expression))
            held += len(both)
            faults += judged(program, folder, both, said)
    for fault in faults[:20]:
        print(fault)
    print(f"{compared} expressions, {held} of them sound: {len(faults)} differ (seed {seed})")
    sys.exit(1 if faults else 0)


def judged(program, folder, both, said):
    """Where sound expressions come out otherwise."""
    (folder / "policy.toml").write_text(rules_of(both))
    (folder / "policy.test.toml").write_text(
        '[[case]]\nname = "all"\noperation = "create"\npatch = {}\nexpect = { decision = "deny" }\n')
    tested = run(program, "policy", "test", "--config", "changegate.toml", "--json", folder=folder)
    rules = json.loads(tested.stdout)["coverage"][0]["rules"]
    found = {rule["rule"]: rule for rule in rules}
    faults = []
    for n, expression in both:
        kind, value = said[n]
        expected = "error" if kind == "error" else "satisfied" if value else "violated"
        rule = found[f"r{n}"]
        if rule[expected] == 0:
            outcome = [name for name, count in rule.items() if count == 1]
            faults.append(f"{outcome}, not {expected}: {expression}\n    {value}")
    return faults


if __name__ == "__main__":
    main()
