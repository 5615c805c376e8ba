import { deepEqual, equal, match, ok } from "node:assert/strict";
import { test } from "node:test";
import { Connections, type ConnectionsAnswer } from "../../../src/control/connections/answer.ts";
import { COLUMNS, GROUP_COLUMNS } from "../../../src/control/connections/columns.ts";
import { Groups } from "../../../src/control/connections/groups.ts";
import { readQuery } from "../../../src/control/connections/query.ts";
import { DOINGS, emptyRow } from "../../../src/control/connections/row.ts";
import { ROWS_PER_SLICE, scan } from "../../../src/control/connections/scan.ts";
import { Best } from "../../../src/control/connections/select.ts";
import { makeTable } from "../../../src/shared/columns.ts";
import { EXCHANGES, ExState, FLOWS, SLOTS, TIMERS } from "../../../src/shared/tables.ts";
import { type Fixture, makeFixture, SERVERS } from "../sight_fixture.ts";
import { connect, type Given, tablesOf } from "./tables.ts";

async function ask({ sight }: Fixture, text = ""): Promise<ConnectionsAnswer> {
  const query = readQuery(new URLSearchParams(text), sight.directory);
  if ("problems" in query) throw new Error(query.problems[0].what);
  return await new Connections(sight).answer(query);
}

/** The rows' numbers, as their clients' addresses have them. */
function numbersOf({ connections }: ConnectionsAnswer): number[] {
  return connections!.map(({ client }) => Number(/\.([0-9]+):/.exec(client ?? "")?.[1]));
}

const THREE: readonly Given[] = [
  { ageMs: 3_000, idleMs: 10, up: 100, down: 5, finished: "client" },
  { ageMs: 1_000, idleMs: 900, up: 300, down: 1, server: SERVERS[1] },
  {
    ageMs: 2_000,
    idleMs: 20,
    up: 200,
    down: 9,
    http: { requests: 4, before: [0, 0] },
    state: ExState.Forward,
  },
];

function three(): Fixture {
  const fixture = makeFixture();
  THREE.forEach((given, at) => connect(fixture, at + 1, given, at % 2));
  return fixture;
}

test("an answer has every field, and no other", async () => {
  const fixture = three();
  const { at, ...answer } = await ask(fixture, "limit=1");
  ok(Math.abs(Date.parse(at) - Date.now()) < 5_000);
  const [{ opened, id, ...row }] = answer.connections!;
  match(id, /^[0-9a-z]{4}-2-1$/);
  ok(Math.abs(Date.parse(opened) - (Date.now() - 3_000)) < 5_000);
  deepEqual(row, {
    client: "10.0.0.1:40001",
    listener: "web",
    upstream: "app",
    server: "10.0.0.1:9001",
    protocol: "tcp",
    state: "client-finished",
    age_seconds: 3,
    idle_seconds: 0.01,
    bytes: { up: 100, down: 5 },
    rates: null,
    requests: null,
    reactor: 1,
  });
  deepEqual({ ...answer, connections: 0 }, {
    total: 3,
    matched: 3,
    shown: 1,
    truncated: true,
    rows_read: 5,
    rows_changed: 0,
    sort: "age:desc",
    rates_over_seconds: null,
    connections: 0,
  });
});

test("rows come in the order that is asked for, whatever the column", async () => {
  const fixture = three();
  const cases: [sort: string, numbers: number[]][] = [
    ["age", [1, 3, 2]],
    ["age:asc", [2, 3, 1]],
    ["idle", [2, 3, 1]],
    ["up", [2, 3, 1]],
    ["down", [3, 1, 2]],
    ["bytes", [2, 3, 1]],
    ["client", [1, 2, 3]],
    ["client:desc", [3, 2, 1]],
    ["server", [1, 3, 2]],
    ["state", [1, 3, 2]],
    ["requests", [3, 1, 2]],
    ["listener", [1, 3, 2]], // equals come as they are found: reactor by reactor
    ["upstream", [1, 3, 2]],
  ];
  for (const [sort, numbers] of cases) {
    deepEqual(numbersOf(await ask(fixture, `sort=${sort}`)), numbers, sort);
  }
  const tested = new Set(cases.map(([sort]) => sort.split(":")[0]));
  deepEqual(Object.keys(COLUMNS).filter((column) => !tested.has(column)), ["up-rate", "down-rate", "rate"]);
});

test("filters let through what is one of their values, all of them together", async () => {
  const fixture = three();
  connect(fixture, 9, { peer: [6, 0, 0, 80, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7] });
  connect(fixture, 10, { peer: [1] });
  const cases: [text: string, matched: number, why: string][] = [
    ["", 5, "all"],
    ["listener=web", 5, "they all came there"],
    ["server=10.0.0.2:9001", 1, "one server"],
    ["server=10.0.0.2:9001&server=10.0.0.1:9001", 5, "or another"],
    ["state=open", 3, "a state"],
    ["state=open&state=forwarding", 4, "or another"],
    ["client=10.0.0.0/30", 3, "a prefix"],
    ["client=10.0.0.2", 1, "an address"],
    ["client=10.0.0.2:40002", 1, "with its port"],
    ["client=10.0.0.2:40003", 0, "with another's"],
    ["client=2001:db8::/32", 1, "IPv6"],
    ["client=[2001:db8::7]:80", 1, "with its port"],
    ["client=unix", 1, "through a unix socket"],
    ["min-age=2s", 2, "as old, to the millisecond"],
    ["min-age=2001ms", 1, "older"],
    ["min-age=1s&state=open", 1, "both"],
    ["client=10.9.0.0/16", 0, "nobody"],
  ];
  for (const [text, matched, why] of cases) {
    const answer = await ask(fixture, text);
    equal(answer.matched, matched, `${text}: ${why}`);
    equal(answer.connections!.length, matched, why);
    equal(answer.total, 5, why);
  }
});

test("rates are what was moved within a second; nothing is known of who was there and not read", async () => {
  const fixture = three(), { sight } = fixture;
  const answering = ask(fixture, "rates=on&sort=up-rate");
  await new Promise((resolve) => setTimeout(resolve, 300)); // the sample is taken, its second has begun
  fixture.nowMs += 2_000;
  const [one, two] = [tablesOf(fixture, 0), tablesOf(fixture, 1)];
  one.slotMovedBytes[2] += 10_000;
  two.slotGen[4]++; // another in the slot of the second
  two.exStartMs[2] = fixture.nowMs - 100;
  connect(fixture, 5, { up: 4_000, ageMs: 500 });
  connect(fixture, 6, { up: 9_000_000, ageMs: 60_000 });
  const answer = await answering;
  equal(answer.rates_over_seconds, 2);
  deepEqual(
    answer.connections!.map(({ client, rates }) => [client!.split(":")[0], rates]),
    [
      ["10.0.0.1", { up: 5_000, down: 0 }],
      ["10.0.0.5", { up: 2_000, down: 0 }],
      ["10.0.0.2", { up: 150, down: 1 }],
      ["10.0.0.3", { up: 0, down: 0 }],
      ["10.0.0.6", null],
    ],
  );
  ok(sight !== undefined);
});

test("questions at the same time share a sample", async () => {
  const fixture = three();
  let asked = 0;
  const sight = { ...fixture.sight, clockMs: () => (asked++, fixture.nowMs) };
  const connections = new Connections(sight), query = readQuery([["rates", "on"]], sight.directory);
  if ("problems" in query) throw new Error();
  await Promise.all([1, 2, 3, 4].map(() => connections.answer(query)));
  // Three of the sample (begun, scanned, ended), two for each answer (begun, scanned).
  equal(asked, 3 + 4 * 2);
});

test("groups count what is let through; others are counted together", async () => {
  const fixture = makeFixture();
  for (let number = 1; number <= 6; number++) {
    const source = number <= 3 ? 1 : number;
    connect(fixture, number, { up: number, peer: [4, 0, 1, number, 10, 0, 0, source] });
  }
  const { groups, matched, shown, truncated, by, sort, others } = await ask(fixture, "by=source&limit=2");
  deepEqual(groups, [
    { name: "10.0.0.1", connections: 3, bytes: { up: 6, down: 0 }, rates: null },
    { name: "10.0.0.4", connections: 1, bytes: { up: 4, down: 0 }, rates: null },
  ]);
  deepEqual([matched, shown, truncated, by, sort, others], [6, 2, true, "source", "connections:desc", null]);
  const byBytes = await ask(fixture, "by=source&sort=bytes:asc&limit=1");
  equal(byBytes.groups![0].name, "10.0.0.4");
  for (
    const [by, name] of [["listener", "web"], ["upstream", "app"], ["server", "10.0.0.1:9001"], [
      "state",
      "open",
    ]]
  ) {
    const { groups } = await ask(fixture, `by=${by}`);
    deepEqual([groups!.length, groups![0].name, groups![0].connections], [1, name, 6], by);
  }
  for (const sort of Object.keys(GROUP_COLUMNS).filter((column) => !column.includes("rate"))) {
    equal((await ask(fixture, `by=source&sort=${sort}`)).groups!.length, 4, sort);
  }
});

test("groups are bounded", () => {
  const groups = new Groups("source", makeFixture().sight.directory, 2), row = emptyRow();
  for (const last of [1, 2, 3, 4, 1]) {
    row.peer.set([4, 0, 0, 1, 10, 0, 0, last]);
    groups.of(row).add(row, 0, undefined);
  }
  deepEqual([...groups.all].map(({ name, connections }) => [name, connections]), [["10.0.0.1", 2], [
    "10.0.0.2",
    1,
  ]]);
  equal(groups.others.connections, 2);
});

test("of many rows the best are kept, and never many more than they are", () => {
  const values = Array.from({ length: 20_000 }, (_, turn) => (turn * 7_919) % 20_011);
  const first = [...values].sort((one, other) => one - other).slice(0, 10);
  const best = new Best<number>(10, (one, other) => one - other), { sort } = Array.prototype;
  let most = 0;
  Array.prototype.sort = function (...how) {
    most = Math.max(most, this.length);
    return sort.apply(this, how);
  };
  try {
    for (const value of values) best.push(value);
    deepEqual(best.take(), first);
  } finally {
    Array.prototype.sort = sort;
  }
  ok(most > 0 && most <= 2 * 10 + 64, `${most} at once`);
});

/** Gives a reactor tables with so many exchanges. */
function enlarge(reactor: Fixture["reactors"][number], exchanges: number): void {
  const sizes = { ...reactor.sizes, slots: 2 * exchanges + 2, exchanges, timers: 2 * exchanges + 2 };
  const tables = {
    slots: makeTable(SLOTS, sizes.slots),
    exchanges: makeTable(EXCHANGES, exchanges),
    timers: makeTable(TIMERS, sizes.timers),
    flows: makeTable(FLOWS, sizes.slots),
  };
  Object.assign(reactor, { sizes, tables });
}

test("a scan reads a bounded number of rows before others have their turn", async () => {
  const fixture = makeFixture(), [reactor] = fixture.reactors, rows = 10_001;
  enlarge(reactor, rows);
  const peers = fixture.peers as Map<string, Uint8Array>;
  for (let number = 1; number < rows; number++) connect(fixture, number);
  equal(peers.size, rows - 1);
  let most = 0, inTurn = 0, turns = 0;
  const turn = () => {
    turns++;
    most = Math.max(most, inTurn);
    inTurn = 0;
    next = setImmediate(turn);
  };
  let next = setImmediate(turn);
  const scanned = await scan(fixture.sight, () => inTurn++);
  clearImmediate(next);
  most = Math.max(most, inTurn);
  equal(scanned.connections, 10_000);
  equal(scanned.rows, 10_000, "no row that was never used");
  ok(most <= ROWS_PER_SLICE, `${most} rows in one turn`);
  ok(turns >= Math.floor(10_000 / ROWS_PER_SLICE), `${turns} turns`);
});

test("a scan leaves a table whose reactor died, and goes on with the next", async () => {
  const fixture = makeFixture(), rows = ROWS_PER_SLICE * 2;
  const [reactor] = fixture.reactors;
  enlarge(reactor, rows);
  for (let number = 1; number < rows; number++) connect(fixture, number);
  connect(fixture, 1, {}, 1);
  let seen = 0, others = 0;
  const scanned = await scan(fixture.sight, ({ room }) => {
    if (room === 2) others++;
    else if (++seen === 10) queueMicrotask(() => Object.assign(reactor, { tables: { ...reactor.tables } }));
  });
  ok(seen <= ROWS_PER_SLICE, `${seen} of a reactor that is gone`);
  equal(others, 1);
  equal(scanned.connections, seen + 1);
});

test("states are told apart by name", () => {
  equal(new Set(DOINGS.map(([name]) => name)).size, DOINGS.length);
});
