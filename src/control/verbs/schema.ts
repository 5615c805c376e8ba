// `sluice schema`: the JSON Schema of the file.
import { shown } from "../config/errors.ts";
import { jsonSchema } from "../config/json_schema.ts";
import type { VerbArguments } from "../config/verbs.ts";
import { type Said, said, saidNo } from "./said.ts";

export function schema({ rest }: VerbArguments): Said {
  if (rest.length > 0) {
    return saidNo({ where: shown(rest[0]), what: "not expected", remedy: "write sluice schema" });
  }
  return said(JSON.stringify(jsonSchema(), null, 2) + "\n");
}
