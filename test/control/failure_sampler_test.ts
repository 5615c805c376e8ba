import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import type { AccessRecord } from "../../src/control/access_record.ts";
import { FailureSampler } from "../../src/control/failure_sampler.ts";
import { Log } from "../../src/control/log.ts";
import { Output } from "../../src/control/output.ts";
import { Reason, REASONS } from "../../src/shared/reason.ts";
import { ECONNREFUSED, ETIMEDOUT } from "../../src/sys/errno.ts";
import { type Kept, keptLog } from "./sight_fixture.ts";

const AT_MS = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
const PER_SECOND = 5;

function record(given: Partial<AccessRecord> = {}): AccessRecord {
  return {
    atMs: AT_MS,
    client: "192.0.2.7:40000",
    listener: "web",
    upstream: "app",
    server: "10.0.0.1:9001",
    upBytes: 12,
    downBytes: 34,
    durationMs: 56,
    reason: Reason.ConnectionRefused,
    errno: ECONNREFUSED,
    tried: 2,
    detail: "",
    ...given,
  };
}

function openSampler(format: "text" | "json" = "text"): { sampler: FailureSampler; kept: Kept; log: Log } {
  const { log, kept } = keptLog({ format });
  return { sampler: new FailureSampler(log), kept, log };
}

/** The lines that so many records make until their second is over. */
async function linesOf(records: readonly AccessRecord[], format?: "json"): Promise<string[]> {
  const { sampler, kept, log } = openSampler(format);
  for (const given of records) sampler.add(given);
  sampler.close();
  await log.output.flush(1_000);
  return kept.lines;
}

const times = (count: number, given?: Partial<AccessRecord>): AccessRecord[] =>
  Array.from({ length: count }, () => record(given));

describe("a connection that failed is told in one line", () => {
  const WHEN = "2026-01-02T03:04:05.678Z warn  connection: ";
  const REFUSED = "the server refused the connection";
  const cases: [given: Partial<AccessRecord>, want: string, why: string][] = [
    [
      {},
      `client 192.0.2.7:40000 of listener "web": connection_refused (ECONNREFUSED): ${REFUSED}; ` +
      "last server 10.0.0.1:9001",
      "with its errno",
    ],
    [
      { errno: 0, detail: "why" },
      `client 192.0.2.7:40000 of listener "web": connection_refused (why): ${REFUSED}; ` +
      "last server 10.0.0.1:9001",
      "with its detail",
    ],
    [
      { errno: 0, server: "" },
      `client 192.0.2.7:40000 of listener "web": connection_refused: ${REFUSED}`,
      "with neither, and no server",
    ],
    [
      { client: "", errno: 199 },
      `a client of listener "web": connection_refused (errno 199): ${REFUSED}; last server 10.0.0.1:9001`,
      "with an errno that has no name, of an unknown client",
    ],
    [
      { detail: "why" },
      `client 192.0.2.7:40000 of listener "web": connection_refused (ECONNREFUSED): ${REFUSED}; ` +
      "last server 10.0.0.1:9001",
      "with its errno before its detail",
    ],
  ];
  for (const [given, want, why] of cases) {
    it(why, async () => deepStrictEqual(await linesOf([record(given)]), [WHEN + want]));
  }

  it("with all its facts, as JSON", async () => {
    const [line] = await linesOf([record({ reason: Reason.ConnectionTimeout, errno: ETIMEDOUT })], "json");
    const { message, ...facts } = JSON.parse(line);
    match(message, /^client 192\.0\.2\.7:40000 of listener "web": connection_timeout \(ETIMEDOUT\): /);
    deepStrictEqual(facts, {
      time: "2026-01-02T03:04:05.678Z",
      level: "warn",
      topic: "connection",
      client: "192.0.2.7:40000",
      listener: "web",
      upstream: "app",
      server: "10.0.0.1:9001",
      reason: "connection_timeout",
      type: "connection_timeout",
      errno: "ETIMEDOUT",
      detail: null,
      tried: 2,
      up_bytes: 12,
      down_bytes: 34,
      duration_ms: 56,
    });
    const [other] = await linesOf([record({ errno: 0, detail: "why" })], "json");
    const { errno, detail } = JSON.parse(other);
    deepStrictEqual({ errno, detail }, { errno: null, detail: "why" });
  });

  it("unless nothing went wrong", async () => {
    const fine = REASONS.map((_, reason) => reason).filter((reason) => REASONS[reason].type === null);
    strictEqual(fine.includes(Reason.Finished), true);
    deepStrictEqual(await linesOf(fine.flatMap((reason) => times(PER_SECOND + 2, { reason }))), []);
  });
});

it("what a failed connection has none of is null, as JSON: never empty text", async () => {
  const [line] = await linesOf([record({ client: "", upstream: "", server: "", errno: 0 })], "json");
  const { client, listener, upstream, server, errno, detail } = JSON.parse(line);
  deepStrictEqual([client, listener, upstream, server, errno, detail], [null, "web", null, null, null, null]);
});

describe("within a second", () => {
  const more = (count: number, name: string): string => `and ${count} more within a second: ${name}`;
  const tail = (lines: readonly string[]): string[] =>
    lines.filter((line) => / more /.test(line)).map((line) => line.replace(/^.* connection: /, ""));

  const cases: [count: number, want: string[]][] = [
    [PER_SECOND - 1, []],
    [PER_SECOND, []],
    [PER_SECOND + 1, [more(1, "connection_refused")]],
    [1_000, [more(995, "connection_refused")]],
  ];
  for (const [count, want] of cases) {
    it(`${count} of a reason: ${want[0] ?? "each is told"}`, async () => {
      const lines = await linesOf(times(count));
      strictEqual(lines.length - want.length, Math.min(count, PER_SECOND));
      deepStrictEqual(tail(lines), want);
      deepStrictEqual(lines.slice(-want.length || lines.length), lines.filter((line) => / more /.test(line)));
    });
  }

  it("each reason has its own samples", async () => {
    const timeout = { reason: Reason.ConnectionTimeout };
    const lines = await linesOf([...times(7), ...times(3, timeout), ...times(2), ...times(4, timeout)]);
    strictEqual(lines.length, 2 * PER_SECOND + 2);
    deepStrictEqual(tail(lines), [more(4, "connection_refused"), more(2, "connection_timeout")]);
  });

  it("the rest is a number, as JSON", async () => {
    const lines = (await linesOf(times(PER_SECOND + 3), "json")).map((line) => JSON.parse(line));
    const { time: _, ...last } = lines.at(-1);
    deepStrictEqual(last, {
      level: "warn",
      topic: "connection",
      message: more(3, "connection_refused"),
      reason: "connection_refused",
      more: 3,
    });
  });

  it("the next second begins anew", async () => {
    const { sampler, kept, log } = openSampler();
    for (const given of times(PER_SECOND + 2)) sampler.add(given);
    sampler.close();
    for (const given of times(PER_SECOND + 1)) sampler.add(given);
    sampler.close();
    sampler.close();
    await log.output.flush(1_000);
    deepStrictEqual(tail(kept.lines), [more(2, "connection_refused"), more(1, "connection_refused")]);
    strictEqual(kept.lines.length, 2 * PER_SECOND + 2);
  });

  it("the rest is told when the second is over, without being asked, each time", async () => {
    let text = "", told = Promise.withResolvers<void>();
    const write = (bytes: Uint8Array): Promise<number> => {
      text += new TextDecoder().decode(bytes);
      if (/ more /.test(text)) told.resolve();
      return Promise.resolve(bytes.length);
    };
    const log = Log.open({ level: "debug", format: "text", output: new Output(write) });
    const sampler = new FailureSampler(log);
    for (const count of [PER_SECOND + 1, PER_SECOND + 4]) {
      for (const given of times(count)) sampler.add(given);
      await told.promise;
      const lines = text.split("\n").slice(0, -1);
      strictEqual(lines.length, PER_SECOND + 1);
      deepStrictEqual(tail(lines), [more(count - PER_SECOND, "connection_refused")]);
      text = "";
      told = Promise.withResolvers();
    }
    sampler.close();
    await log.output.flush(1_000);
    strictEqual(text, "");
  });
});
