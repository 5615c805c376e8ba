// The part of the schema that is about the log and the access log.
import * as z from "zod";
import { nearest, quoted, type Reading, refused, shown, taken } from "./errors.ts";
import { key, text } from "./keys.ts";

/** Where access records go. */
export type AccessLogTarget =
  | { readonly kind: "stderr" | "stdout" | "off" }
  | { readonly kind: "file"; readonly path: string };

const PATH_CHARACTERS_MAX = 4_000;

function readAccessLog(input: string): Reading<AccessLogTarget> {
  const words = ["stderr", "stdout", "off"] as const;
  const word = words.find((known) => known === input);
  if (word !== undefined) return taken({ kind: word });
  if (input === "") return refused("empty", "write off, stderr, stdout or a PATH");
  if (input.length > PATH_CHARACTERS_MAX) {
    return refused(`a path of ${input.length} characters`, `write at most ${PATH_CHARACTERS_MAX}`);
  }
  if (/[\p{Cc}\p{Cs}]/u.test(input)) {
    return refused(`${quoted(input)} holds a control character`, "write a path in printable characters");
  }
  const meant = /^[a-zA-Z]+$/.test(input) ? nearest(input, words) : undefined;
  if (meant !== undefined) {
    return refused(
      `${quoted(input)} is neither off, stderr nor stdout`,
      `did you mean ${quoted(meant)}? A file of that name is ./${shown(input)}`,
    );
  }
  return taken({ kind: "file", path: input });
}

const logFormats = z.enum(["text", "json"]);

export const log = z.strictObject({
  level: key(z.enum(["debug", "info", "warn", "error"]).prefault("info"), {
    description: "the least severe messages that are logged",
    placeholder: "debug|info|warn|error",
    flag: "--log-level",
  }),
  format: key(logFormats.prefault("text"), {
    description: "format of the log and the access log",
    placeholder: "text|json",
    flag: "--log-format",
  }),
  access: key(
    z.strictObject({
      to: key(text(readAccessLog).prefault("stderr"), {
        description: "one record for each request or TCP connection, at its end",
        placeholder: "off|stderr|stdout|PATH",
        flag: "--access-log",
        example: "/var/log/sluice/access.log",
      }),
      format: key(logFormats.optional(), {
        description: "format of access records",
        placeholder: "text|json",
        defaultText: "as log.format",
      }),
    }).prefault({}),
    { description: "access records", later: ["template", "sample"] },
  ),
});
