import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { type JsonSchema, jsonSchema } from "../../../src/control/config/json_schema.ts";
import { KEYS } from "../../../src/control/config/schema.ts";

/** What a schema says of a path; `*` is a name, or an entry of a list. */
function at(schema: JsonSchema, path: readonly string[]): JsonSchema | undefined {
  const options = (schema.anyOf ?? schema.oneOf ?? []) as JsonSchema[];
  for (const option of options) {
    const found = at(option, path);
    if (found !== undefined) return path.length === 0 ? schema : found;
  }
  if (path.length === 0) return schema;
  const [step, ...rest] = path;
  const inner = step === "*"
    ? (schema.additionalProperties || schema.items) as JsonSchema | undefined
    : (schema.properties as Record<string, JsonSchema> | undefined)?.[step];
  return inner === undefined ? undefined : at(inner, rest);
}

test("every key is there, with its description", () => {
  const schema = jsonSchema();
  for (const { path, doc } of KEYS) {
    const found = at(schema, path);
    ok(found !== undefined, path.join("."));
    if (path.length > 0 && path.at(-1) !== "*") {
      ok(String(found.description).startsWith(doc.description), `${path.join(".")}: ${found.description}`);
    }
  }
});

test("editors are told what is not a key, which words there are, and defaults", () => {
  const schema = jsonSchema();
  equal(schema.$schema, "http://json-schema.org/draft-07/schema#");
  equal(schema.additionalProperties, false);
  deepEqual(at(schema, ["accept"])!.enum, ["balanced", "reuseport"]);
  equal(at(schema, ["drain-timeout"])!.default, "30s");
  equal(at(schema, ["log"])!.default, undefined, "a section's is what its keys say");
  deepEqual(at(schema, ["listeners", "*", "bind"])!.examples, ["tcp://:5432"]);
  deepEqual(at(schema, ["listeners", "*"])!.required, ["bind"]);
});
