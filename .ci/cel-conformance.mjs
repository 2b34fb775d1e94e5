// Writes the conformance cases of CEL, as published in the npm package @bufbuild/cel-spec, as lines
// of JSON, one file a suite: [name, expression, expected, bindings?].
//
// `expected` is the value as an expression, or null where an error is. Cases about messages of
// Protocol Buffers, which rules never see, are left out.
//
//     npm pack @bufbuild/cel-spec@0.6.1 && tar xzf bufbuild-cel-spec-0.6.1.tgz
//     node .ci/cel-conformance.mjs package tests/data/cel-conformance
import { writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [root, target] = process.argv.slice(2);
const { tests } = await import(pathToFileURL(`${root}/dist/esm/testdata/conformance.js`).href);

const messages = /TestAllTypes|google\.protobuf\.(?!Timestamp|Duration)|proto[23]\b|GlobalEnum|NestedEnum/;

/** The value as an expression; undefined where it can't be written. */
function literal(value) {
  const [[kind, it]] = Object.entries(value);
  switch (kind) {
    case "int64Value": return `${it}`;
    case "uint64Value": return `${it}u`;
    case "doubleValue": {
      if (["NaN", "Infinity", "-Infinity"].includes(it)) return `double('${it}')`;
      const text = Object.is(it, -0) ? "-0" : `${it}`;
      return /[.e]/.test(text) ? text : `${text}.0`;
    }
    case "stringValue": return JSON.stringify(it);
    case "boolValue": return `${it}`;
    case "nullValue": return "null";
    case "bytesValue": {
      const hex = [...Buffer.from(it, "base64")].map((b) => `\\x${b.toString(16).padStart(2, "0")}`);
      return `b"${hex.join("")}"`;
    }
    case "listValue": {
      const all = (it.values ?? []).map(literal);
      return all.includes(undefined) ? undefined : `[${all.join(", ")}]`;
    }
    case "mapValue": {
      const all = (it.entries ?? []).map(({ key, value }) => [literal(key), literal(value)]);
      if (all.flat().includes(undefined)) return undefined;
      return `{${all.map(([key, value]) => `${key}: ${value}`).join(", ")}}`;
    }
    case "typeValue": return it;
    case "objectValue": {
      const type = it["@type"] ?? "";
      if (type.endsWith("google.protobuf.Timestamp")) return `timestamp(${JSON.stringify(it.value)})`;
      if (type.endsWith("google.protobuf.Duration")) return `duration(${JSON.stringify(it.value)})`;
      return undefined;
    }
    default: return undefined;
  }
}

const counts = [];
function walk(suite, found) {
  for (const inner of suite.suites ?? []) walk(inner, found);
  for (const { original } of suite.tests ?? []) {
    found.all += 1;
    const { name, expr, bindings, value, typedResult, evalError, checkOnly, disableCheck } = original;
    const result = value ?? typedResult?.result;
    const about = JSON.stringify(original);
    if (messages.test(about) || checkOnly || original.container) continue;
    let expected = null;
    if (!evalError && !original.anyEvalErrors && !original.unknown) {
      expected = literal(result ?? { boolValue: true });
      if (expected === undefined) continue;
    } else if (original.unknown) continue;
    const line = [`${suite.name}/${name}`, expr, expected];
    const bound = Object.entries(bindings ?? {}).map(([name, { value }]) => [name, value && literal(value)]);
    if (bound.some(([, value]) => value === undefined)) continue;
    if (bound.length > 0 || disableCheck) line.push(Object.fromEntries(bound));
    if (disableCheck) line.push("unchecked");
    found.lines.push(JSON.stringify(line));
  }
}
for (const suite of tests.suites) {
  const found = { all: 0, lines: [] };
  walk(suite, found);
  counts.push([suite.name, found.all, found.lines.length]);
  if (found.lines.length > 0) writeFileSync(`${target}/${suite.name}.jsonl`, `${found.lines.join("\n")}\n`);
}
console.table(counts);
