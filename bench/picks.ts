/**
 * How long one pick takes, by rule and number of servers: the functions that reactors call, in a loop of this
 * process. Prints key=value, the median of several runs in nanoseconds of user time, the loop
 * itself taken off.
 *
 *   bun bench/picks.ts [--servers N,...] [--picks N]
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { checkConfig } from "../src/control/config/check.ts";
import { compile } from "../src/control/config/compile.ts";
import { Identities } from "../src/control/config/parts.ts";
import { RULES } from "../src/control/config/balance_schema.ts";
import { Directory } from "../src/control/directory.ts";
import { cursorCommit, hasCursor, pick, refreshCandidates } from "../src/policy/balance.ts";
import { candidatesFor } from "../src/policy/candidates.ts";
import { mix } from "../src/policy/hash.ts";
import { latencySample } from "../src/policy/latency.ts";
import { makeShared, openShared } from "../src/shared/servers.ts";

const RUNS = 7;
/** Exchanges that are at the servers, for each of them: each pick ends the oldest. */
const AT_SERVER = 4;
const UPSTREAM = 1;

const { values } = parseArgs({
  options: {
    servers: { type: "string", default: "2,100,1000" },
    picks: { type: "string", default: "300000" },
  },
});
const picks = Number(values.picks);

for (const servers of values.servers.split(",").map(Number)) {
  const empty = median(Array.from({ length: RUNS }, () => timed(servers, undefined)));
  for (const rule of [...RULES, "weighted"]) {
    const ns = median(Array.from({ length: RUNS }, () => timed(servers, rule)));
    console.log(`${rule}-${servers}=${(ns - empty).toFixed(1)}`);
  }
}

function median(numbers: number[]): number {
  return numbers.sort((a, b) => a - b)[numbers.length >> 1];
}

/** Nanoseconds for one turn of the loop; without a rule of the loop alone. "weighted": round robin, by weight. */
function timed(servers: number, rule: string | undefined): number {
  const plan = planOf(servers, rule ?? "round-robin"), shared = openShared(makeShared());
  const candidates = candidatesFor(plan), nowMs = 1_000;
  for (let server = 1; server <= servers; server++) latencySample(shared, server, 1 + server % 10, nowMs);
  refreshCandidates(candidates, UPSTREAM, shared, nowMs);
  const first = plan.upstreamFirst[UPSTREAM], moves = hasCursor(plan, UPSTREAM);
  const counts = plan.upstreamCounted[UPSTREAM] === 1 || rule === undefined;
  const under = new Int32Array(AT_SERVER * servers);
  let oldest = 0, end = 0, began = 0;
  for (let nth = -picks >> 2; nth < picks; nth++) { // a quarter more, to warm up
    if (nth === 0) began = process.cpuUsage().user;
    const cursor = moves ? cursorCommit(shared.upstreamCursor, UPSTREAM) : 0, key = mix(nth);
    const member = rule === undefined ? nth & 1 : pick(candidates, UPSTREAM, shared, cursor, key, nowMs);
    if (counts) {
      const server = plan.upstreamMember[first + member];
      if (under[oldest] !== 0) {
        Atomics.sub(shared.serverInUse, under[oldest], 1);
        Atomics.sub(shared.upstreamInUse, UPSTREAM, 1);
      }
      Atomics.add(shared.serverInUse, server, 1);
      Atomics.add(shared.upstreamInUse, UPSTREAM, 1);
      under[oldest] = server;
      if (++oldest === under.length) oldest = 0;
    }
    end += member;
  }
  const ns = (process.cpuUsage().user - began) * 1e3 / picks;
  if (end < 0) throw new Error("picks: nobody was picked");
  return ns;
}

function planOf(servers: number, rule: string) {
  const isWeighted = rule === "weighted";
  const targets = Array.from(
    { length: servers },
    (_, at) => `10.0.${at >> 8}.${at & 255}:80;weight=${isWeighted ? 1 + at % 5 : 1}`,
  );
  const { config } = checkConfig({
    admin: "off",
    listeners: { l: { bind: "tcp://:1", to: "u" } },
    upstreams: { u: { servers: targets, balance: isWeighted ? "round-robin" : rule } },
  }, { env: {}, uid: 0 });
  return compile(
    {
      config: config!,
      generation: 1,
      sockets: [],
      resolve: (address) => address.kind === "name" ? [] : [address],
      patternOf: () => 0,
    },
    new Identities(),
    new Directory(),
  ).plan;
}
