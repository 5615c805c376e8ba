// The part of the schema that is about health checks: what is asked of a server, and what a good answer is.
import * as z from "zod";
import { PROBE_TEXT_BYTES_MAX, TICK_MS } from "../../base/limits.ts";
import { type Expectation, readEscapes, readExpectation } from "./escapes.ts";
import { type HttpCheck, requestOf } from "./http_check.ts";
import {
  readEditableName,
  readFieldValue,
  readHostField,
  readRequestLine,
  readStatuses,
  type StatusRange,
} from "./http_values.ts";
import { count, countDoc, duration, durationDoc, give, key, text, textsByName } from "./keys.ts";
import type { Range } from "./units.ts";

/** How the servers of an upstream are checked; durations in milliseconds. */
export interface HealthCheck {
  /** Only the connect is checked: nothing is sent, no answer is waited for. */
  readonly tcp: boolean;
  readonly http: HttpCheck | undefined;
  /** Sent once connected; empty if the server speaks first, and with `http`. */
  readonly send: Uint8Array;
  /** What the answer must hold, with `http` its body; undefined if `tcp`, and if any body will do. */
  readonly expect: Expectation | undefined;
  readonly interval: number;
  readonly timeout: number;
  /** Failures in a row that eject a server. */
  readonly fall: number;
  /** Successes in a row that bring it back. */
  readonly rise: number;
}

const INTERVAL_MS: Range = { min: TICK_MS, max: 3_600_000 };
const PROBE_TIMEOUT_MS: Range = { min: TICK_MS, max: 3_600_000 };
const FALL_RISE: Range = { min: 1, max: 100 };
const STATUSES_DEFAULT = "200-299";
/** As long as a name and a port can be. */
const AUTHORITY_LONGEST = `${"a".repeat(253)}:65535`;

/** Read once it is known whether there is `http`: a text, or statuses. */
const expected = z.union([
  z.string().superRefine((input, context) => {
    const reading = readExpectation(input);
    if (!reading.ok) give(reading, context);
  }),
  z.number(),
  z.array(z.union([z.string(), z.number()])).min(1),
]).optional();

const checkFields = z.strictObject({
  tcp: key(z.literal(true).optional(), {
    description: "check only that the server accepts a connection",
    placeholder: "true",
  }),
  send: key(text(readEscapes).optional(), {
    description: "what a check sends; \\n \\r \\t \\\\ \\xHH",
    placeholder: "TEXT",
    flag: "--health-send",
    example: "PING\\r\\n",
    range: "1 to 4096 bytes",
  }),
  http: key(text(readRequestLine).optional(), {
    description: "check by a request; good statuses are then --health-expect",
    placeholder: '"GET /PATH"',
    flag: "--health-http",
    example: "GET /healthz",
  }),
  expect: key(expected, {
    description: "text in a good answer, or /REGEX/ (PCRE2); with http its statuses, else 200-299",
    placeholder: "TEXT|/REGEX/|STATUSES",
    flag: "--health-expect",
    example: "+PONG",
    range: "1 to 4096 bytes",
  }),
  host: key(text(readHostField).optional(), {
    description: "the Host that a request of a check has",
    placeholder: "HOST",
    defaultText: "the server's address",
  }),
  header: key(textsByName(readEditableName, readFieldValue), {
    description: "further fields of the request",
    placeholder: "NAME: VALUE",
  }),
  body: key(text(readExpectation).optional(), {
    description: "text in the body of a good answer, or /REGEX/ (PCRE2)",
    placeholder: "TEXT|/REGEX/",
    range: "1 to 4096 bytes",
  }),
  interval: key(duration(INTERVAL_MS).prefault("2s"), {
    description:
      "time between two checks of a server; a quarter of it (at least 100ms) while results speak " +
      "against its state",
    flag: "--health-interval",
    ...durationDoc(INTERVAL_MS),
  }),
  timeout: key(duration(PROBE_TIMEOUT_MS).prefault("1s"), {
    description: "a check that takes longer has failed",
    flag: "--health-timeout",
    ...durationDoc(PROBE_TIMEOUT_MS),
  }),
  fall: key(count(FALL_RISE).prefault(3), {
    description: "failures in a row that eject a server",
    flag: "--health-fall",
    ...countDoc(FALL_RISE),
  }),
  rise: key(count(FALL_RISE).prefault(2), {
    description: "successes in a row that bring it back",
    flag: "--health-rise",
    ...countDoc(FALL_RISE),
  }),
});
const check = checkFields.transform(checkOf);

type GivenCheck = z.output<typeof checkFields>;

/** Checks what must hold between the keys of a check, and reads what depends on its kind. */
function checkOf(given: GivenCheck, context: z.RefinementCtx): HealthCheck {
  const { send = new Uint8Array(0), interval, timeout, fall, rise } = given;
  contradictions(given, context);
  const times = { interval, timeout, fall, rise };
  if (given.http === undefined) {
    const expect = expectationOf(given.expect, context);
    return { tcp: expect === undefined, http: undefined, send, expect, ...times };
  }
  const { host, header } = given;
  const http = { ...given.http, host, header, statuses: statusesOf(given.expect, context) };
  const bytes = requestOf(http, AUTHORITY_LONGEST).length;
  if (bytes > PROBE_TEXT_BYTES_MAX) {
    const params = { remedy: `write at most ${PROBE_TEXT_BYTES_MAX}` };
    context.addIssue({ code: "custom", path: ["http"], message: `a request of ${bytes} bytes`, params });
  }
  return { tcp: false, http, send, expect: given.body, ...times };
}

function contradictions(given: GivenCheck, context: z.RefinementCtx): void {
  const error = (key: string, message: string, remedy: string): void => {
    context.addIssue({ code: "custom", path: [key], message, params: { remedy } });
  };
  const { tcp, http, send, expect, host, header, body } = given;
  if (tcp === true && (send ?? expect ?? http) !== undefined) {
    error(
      "tcp",
      "a check of the connection alone contradicts send, expect and http",
      "leave tcp out, or the others",
    );
  } else if (http !== undefined && send !== undefined) {
    error("send", "contradicts http, which says what is sent", "leave out one of them");
  } else if (send !== undefined && expect === undefined) {
    error("send", "nothing says what a good answer is", "give the text to expect as well");
  }
  if (http !== undefined) return;
  const requests = { host, body, header: Object.keys(header).length === 0 ? undefined : header };
  for (const [key, value] of Object.entries(requests)) {
    if (value !== undefined) error(key, "is part of a check by a request", 'write http: "GET /PATH" as well');
  }
}

function expectationOf(given: GivenCheck["expect"], context: z.RefinementCtx): Expectation | undefined {
  if (given === undefined) return undefined;
  if (typeof given === "string") return give(readExpectation(given), context);
  const message = "statuses are what a check by a request expects";
  const texts = Array.isArray(given) ? "a text" : `"${given}" in quotes for a text`;
  const params = { remedy: `write http: "GET /PATH" as well, or ${texts}` };
  context.addIssue({ code: "custom", path: ["expect"], message, params });
  return z.NEVER;
}

function statusesOf(given: GivenCheck["expect"], context: z.RefinementCtx): StatusRange[] {
  const texts = given === undefined ? [STATUSES_DEFAULT] : Array.isArray(given) ? given : [given];
  const reading = readStatuses(texts.join(","));
  if (reading.ok) return reading.value;
  context.addIssue({
    code: "custom",
    path: ["expect"],
    message: reading.what,
    params: { remedy: reading.remedy },
  });
  return z.NEVER;
}

function healthOf(value: "off" | "tcp" | HealthCheck): "off" | HealthCheck {
  return value === "tcp" ? check.parse({}) : value;
}

/** How an upstream is checked: off, tcp, or the keys of a check. */
export const health = z.union([z.enum(["off", "tcp"]), check]).transform(healthOf);

/** How it is checked if nobody says: servers that only get datagrams need not accept connections. */
export function healthByDefault(datagrams: boolean): "off" | HealthCheck {
  return healthOf(datagrams ? "off" : "tcp");
}
