// The part of the schema that is about the log and the access log.
import * as z from "zod";
import { key, text } from "./keys.ts";
import { readAccessLog } from "./log_place.ts";

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
        placeholder: "off|stderr|stdout|syslog|PATH",
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
