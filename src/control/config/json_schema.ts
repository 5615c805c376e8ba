// The schema of the file as JSON Schema (draft 7, which editors understand): made from the one schema, with the
// words of its documentation.
import * as z from "zod";
import { docs, type KeyDoc } from "./keys.ts";
import { configSchema } from "./schema.ts";

/** An object of JSON. */
export type JsonSchema = { [key: string]: unknown };

const TITLE = "The configuration of Sluice";

/** The JSON Schema of a configuration file. Values in which `${NAME}` or `${file:/PATH}` stands are texts. */
export function jsonSchema(): JsonSchema {
  const schema = z.toJSONSchema(configSchema, {
    io: "input",
    target: "draft-7",
    unrepresentable: "any",
    override: ({ zodSchema, jsonSchema }) => {
      const doc = docs.get(zodSchema as unknown as z.ZodType);
      if (doc !== undefined) Object.assign(jsonSchema, wordsOf(doc));
      if (isEmpty(jsonSchema.default)) delete jsonSchema.default; // of a section: what its keys say
    },
  }) as JsonSchema;
  const { $schema, ...rest } = schema;
  return { $schema, title: TITLE, ...rest };
}

function wordsOf({ description, range, defaultText, example, placeholder, secret }: KeyDoc): JsonSchema {
  const written = placeholder === undefined ? [] : [`written ${placeholder}`];
  const notes = [
    ...(range === undefined ? written : [range]),
    ...(defaultText === undefined ? [] : [`default ${defaultText}`]),
    ...(secret ? ["never shown"] : []),
  ];
  return {
    description: notes.length === 0 ? description : `${description} (${notes.join("; ")})`,
    ...(example === undefined ? {} : { examples: [example] }),
  };
}

function isEmpty(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}
