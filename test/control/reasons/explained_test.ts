// The table behind `sluice why`: every reason has its help, and whatever the help names is there.
import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { FLAGS } from "../../../src/control/config/command_line.ts";
import { KEYS } from "../../../src/control/config/schema.ts";
import { VERBS } from "../../../src/control/config/verbs.ts";
import type { NameView } from "../../../src/control/discovery.ts";
import { metricsText } from "../../../src/control/metrics.ts";
import { EXPLAINED, findReasons, reasonWords, seenByClient } from "../../../src/control/reasons/explained.ts";
import { REFUSALS } from "../../../src/proto/refusal.ts";
import { Fault, TLS_FAULTS } from "../../../src/proto/tls_fault.ts";
import { reasonOfFault } from "../../../src/proxy/handshake.ts";
import { Reason, REASON_COUNT, REASONS } from "../../../src/shared/reason.ts";
import { errnoName } from "../../../src/sys/errno.ts";
import { makeFixture } from "../sight_fixture.ts";

const PATHS = new Set(KEYS.map(({ path }) => path.join(".")));
const TOP = new Set(KEYS.filter(({ path }) => path.length === 1).map(({ path }) => path[0]));
const METRICS = metricNames();
/** What a line of the access log has as NAME=VALUE. */
const LINE_KEYS =
  "up down up_datagrams down_datagrams queue connect first ms tried reused reason type errno detail listener route upstream tls sni client_cert"
    .split(" ");
const ERRNOS = new Set(Array.from({ length: 134 }, (_, errno) => errnoName(errno)));

/** Every metric, those of host names among them. */
function metricNames(): ReadonlySet<string> {
  const { sight } = makeFixture();
  const name = { ips: [], sinceMs: undefined, answeredAtMs: undefined, failure: undefined, failures: 0 };
  const names = new Map<string, NameView>([["a.example", { ...name, name: "a.example", resolves: true }]]);
  const text = metricsText({ ...sight, names });
  return new Set([...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name));
}

function linesOf({ means, causes, look, change, errnos = [] }: (typeof EXPLAINED)[number]["help"]): string[] {
  return [means, ...causes, ...look, ...change, ...errnos.map(([, text]) => text)];
}

/** What stands in backticks, as code. */
function codes(text: string): string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map(([, code]) => code);
}

/** What is wrong with a piece of code that names a part of Sluice; "" for none, and for other things. */
function flaw(code: string): string {
  const [word] = code.split(/[ :]/);
  if (/^(sluice|process)_[a-z_]+$/.test(code)) return METRICS.has(code) ? "" : `no metric: ${code}`;
  if (/^[a-z_]+=$/.test(code)) {
    return LINE_KEYS.includes(code.slice(0, -1)) ? "" : `no key of a line: ${code}`;
  }
  if (code.startsWith("sluice ")) {
    const verb = code.split(" ")[1];
    return VERBS.some(({ name }) => name === verb) ? "" : `no verb: ${code}`;
  }
  if (code.startsWith("--")) return FLAGS.some(({ name }) => name === word) ? "" : `no flag: ${code}`;
  if (!TOP.has(word.split(".")[0]) || (!word.includes(".") && !TOP.has(word))) return "";
  const path = word.replaceAll("NAME", "*").replaceAll("[N]", ".*");
  return PATHS.has(path) ? "" : `no key: ${code}`;
}

test("what is wrong with a piece of code is seen", () => {
  const cases: [code: string, wrong: boolean][] = [
    ["sluice_no_such_total", true],
    ["sluice_bugs_total", false],
    ["upstreams.NAME.timeouts.conect", true],
    ["upstreams.NAME.timeouts.connect", false],
    ["listeners.NAME.routes[N].match.path.regex", false],
    ["listeners.NAME.routes[N].body_max", true],
    ["frist=", true],
    ["first=", false],
    ["sluice dotcor", true],
    ["--conect-timeout", true],
    ["drain-timeout", false],
    ["curl -v http://SERVER/", false],
  ];
  for (const [code, wrong] of cases) equal(flaw(code) !== "", wrong, code);
});

test("every reason has its help, in order, and says what to do about it", () => {
  equal(EXPLAINED.length, REASON_COUNT);
  EXPLAINED.forEach(({ name, type, help }, code) => {
    equal(name, REASONS[code].name);
    ok(help.means.length > 20 && help.means.endsWith("."), name);
    if (type === null) return;
    ok(help.causes.length > 0, `${name}: no cause`);
    ok(help.look.length > 0, `${name}: nothing to look at`);
    ok(help.change.length > 0, `${name}: nothing to change`);
  });
});

test("every key, metric, flag, verb and errno that the help names exists", () => {
  const flaws = EXPLAINED.flatMap(({ name, help }) =>
    [
      ...linesOf(help).flatMap(codes).map(flaw).filter((text) => text !== ""),
      ...(help.errnos ?? []).filter(([errno]) => !ERRNOS.has(errno)).map(([errno]) => `no errno: ${errno}`),
    ].map((text) => `${name}: ${text}`)
  );
  deepEqual(flaws, []);
});

test("code has its backticks: no key or metric stands bare, none is left open", () => {
  for (const { name, help } of EXPLAINED) {
    for (const line of linesOf(help)) {
      const bare = line.replace(/`[^`]*`/g, "");
      ok(!bare.includes("`"), `${name}: ${line}`);
      ok(!/\b(listeners|upstreams|defaults)\.|\bsluice_/.test(bare), `${name}: ${line}`);
    }
  }
});

test("details: every refusal is told where it can come", () => {
  const request = EXPLAINED[Reason.BadRequest].details, answer = EXPLAINED[Reason.BadAnswer].details;
  const told = new Set([...request, ...answer]);
  const left = REFUSALS.filter((refusal) => !told.has(refusal)).map(({ text }) => text);
  deepEqual(left, ["The message is incomplete.", "The body is longer than allowed."]);
  ok(request.every(({ status }) => status !== 502), "a server's fault is no client's");
  ok(!answer.some(({ text }) => /Host|method|target/.test(text)), "an answer has none of these");
  deepEqual(EXPLAINED[Reason.BadRequest].statuses, [400, 414, 417, 431, 501, 505]);
});

test("details: every fault of TLS is told with the reason that it becomes, and with no other", () => {
  // A connection that only ended is a reset; keys are pinned of servers, and names are no business of clients.
  const never = (fault: Fault, down: boolean) =>
    fault === Fault.Gone || (down && fault === Fault.Pin) ||
    (!down && (fault === Fault.NoCertificateForName || fault === Fault.NoCertificateGiven));
  for (const { fault, text } of TLS_FAULTS) {
    const wanted = [true, false].filter((down) => !never(fault, down)).map((down) =>
      reasonOfFault(fault, down)
    );
    const told = EXPLAINED.flatMap(({ help, details }, reason) =>
      typeof help.details === "object" && details.some((detail) => detail.text === text) ? [reason] : []
    );
    deepEqual(told, wanted, text);
  }
});

test("findReasons: names and types in any spelling, statuses, and nothing else", () => {
  const names = (word: string) => {
    const answer = findReasons(word);
    if (answer === undefined) return undefined;
    return ("told" in answer ? answer.told.map(({ reason }) => reason) : answer.reasons).map(({ name }) =>
      name
    );
  };
  const cases: [word: string, names: string[] | undefined][] = [
    ["connection_refused", ["connection_refused"]],
    ["Connection-Refused", ["connection_refused"]],
    ["reason=answer_cut", ["answer_cut"]],
    ["HTTP_RESPONSE_INCOMPLETE", ["answer_cut"]],
    ["http-request-error", ["bad_request", "request_too_long", "request_timeout", "plain_http"]],
    ["error=proxy_loop_detected", ["loop"]],
    ["404", ["no_route"]],
    ["505", ["bad_request"]],
    ["503", [
      "no_server",
      "limit_reached",
      "out_of_resources",
      "drained",
      "queue_timeout",
      "queue_full",
      "no_source",
      "removed",
    ]],
    ["200", []],
    ["99", undefined],
    ["600", undefined],
    ["constructor", undefined],
    ["", undefined],
    ["ECONNREFUSED", ["connection_refused"]],
    ["errno=etimedout", ["client_reset", "server_reset", "connection_timeout", "answer_cut"]],
    ["EXDEV", undefined],
    ["unknown_ca", ["client_alert", "server_alert"]],
    ["Unknown-CA", ["client_alert", "server_alert"]],
    ["self-signed", [
      "client_certificate",
      "client_certificate",
      "server_certificate_authority",
      "server_certificate_authority",
    ]],
    ["detail=The certificate is revoked.", ["client_certificate", "server_certificate"]],
    ["bare", undefined],
    ["obs_fold", undefined],
  ];
  for (const [word, wanted] of cases) deepEqual(names(word), wanted, word);
});

test("findReasons knows every word that it would propose", () => {
  for (const word of reasonWords()) ok(findReasons(word) !== undefined, word);
});

test("seenByClient: a status, a reset, or neither", () => {
  const cases: [reason: Reason, text: string][] = [
    [Reason.NoRoute, "status 404"],
    [Reason.AnswerTimeout, "status 504; once an answer has begun, and without HTTP, its connection is reset"],
    [Reason.TunnelIdle, "its connection ends"],
    [Reason.Healthy, "nothing: no client has to do with it"],
  ];
  for (const [reason, text] of cases) equal(seenByClient(EXPLAINED[reason]), text);
});
