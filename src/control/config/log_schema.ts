// The part of the schema that is about the log and the access log.
import * as z from "zod";
import { type Reading, refused, taken } from "./errors.ts";
import { give, key, text } from "./keys.ts";
import { readAccessLog } from "./log_place.ts";
import { LOG_NAMES, readLogTemplate } from "./log_templates.ts";
import { readShare } from "./units.ts";

const logFormats = z.enum(["text", "json"]);

/** A template that is good, as it was written. */
function readTemplateText(input: string): Reading<string> {
  const reading = readLogTemplate(input);
  return reading.ok ? taken(input) : reading;
}

const templates = z.strictObject({
  http: key(text(readTemplateText).optional(), {
    description: "the line of a request",
    placeholder: "TEMPLATE",
    defaultText: "as log.format",
  }),
  tcp: key(text(readTemplateText).optional(), {
    description: "the line of a TCP connection, which has no request",
    placeholder: "TEMPLATE",
    defaultText: "as log.format",
  }),
  udp: key(text(readTemplateText).optional(), {
    description: "the line of a session of datagrams; as that of TCP connections if not given",
    placeholder: "TEMPLATE",
    defaultText: "as log.format",
  }),
}).superRefine(({ http, tcp, udp }, context) => {
  if ((http ?? tcp ?? udp) === undefined) give(refused("empty", "give http, tcp, udp, or all"), context);
});

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
      format: key(z.enum(["text", "json", "combined"]).optional(), {
        description: "format of access records; combined is that of Apache and nginx",
        placeholder: "text|json|combined",
        defaultText: "as log.format",
      }),
      template: key(z.union([text(readTemplateText), templates]).optional(), {
        description: "access records in your own words, instead of a format: a text with the names " +
          `${LOG_NAMES.map((name) => `{${name}}`).join(" ")}; {request.NAME} is a field of the request, of ` +
          "which 256 bytes are told; what is absent is a dash; {{ is a brace; a text that is JSON is " +
          "written as JSON",
        placeholder: "TEMPLATE|{ http: TEMPLATE, tcp: TEMPLATE, udp: TEMPLATE }",
        example: '{time} {client} "{request_line}" {status} {duration_ms}',
      }),
      sample: key(text(readShare).prefault("100%"), {
        description: "how many are recorded of those that ended well, by chance; those that failed, by an " +
          "error or with a status of 500 or more, are recorded all",
        placeholder: "SHARE",
        range: "0% to 100%",
        example: "10%",
      }),
    }).superRefine(({ format, template }, context) => {
      if (format === undefined || template === undefined) return;
      context.addIssue({
        code: "custom",
        path: ["template"],
        message: "there is a format as well",
        params: { remedy: "leave one of them out" },
      });
    }).prefault({}),
    { description: "access records" },
  ),
});
