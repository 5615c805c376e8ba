import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { exchangesOf } from "../../../src/control/connections/exchanges.ts";
import { Doing, emptyRow, type Row, Seen, Speaks } from "../../../src/control/connections/row.ts";
import { Count } from "../../../src/shared/stats.ts";
import { ExState, SlotState } from "../../../src/shared/tables.ts";
import { type Fixture, makeFixture, SERVERS, UPSTREAM } from "../sight_fixture.ts";
import { connect, type Given, tablesOf } from "./tables.ts";

/** Reads row 1; `during` is called in the middle of each look, with its number. */
function read(fixture: Fixture, during: (look: number) => void = () => {}): [seen: Seen, row: Row] {
  const row = emptyRow();
  let asked = 0;
  const source = exchangesOf(fixture.reactors[0], (room, slot, into) => {
    const known = fixture.sight.peerOf(room, slot, into);
    if (asked++ % 2 === 0) during(asked >> 1);
    return known;
  });
  return [source.read(1, row), row];
}

test("a row says what the tables say", () => {
  const fixture = makeFixture();
  connect(fixture, 1, { up: 7, down: 9, ageMs: 5_000, idleMs: 200 });
  const [seen, row] = read(fixture);
  equal(seen, Seen.One);
  deepEqual(
    { ...row, peer: [...row.peer.subarray(0, 8)] },
    {
      room: 1,
      tag: row.tag,
      at: 1,
      identity: 2 * 2 ** 32 + 1,
      doing: Doing.Open,
      speaks: Speaks.Tcp,
      listener: 3,
      upstream: UPSTREAM,
      server: SERVERS[0],
      openedMs: 995_000,
      seenMs: 999_800,
      upBytes: 7,
      downBytes: 9,
      requests: -1,
      peer: [4, 0, 40_001 >> 8, 40_001 & 0xff, 10, 0, 0, 1],
    },
  );
});

test("what a connection is doing, by its state and its streams' ends", () => {
  const http = { requests: 3, before: [100, 200] as const };
  const cases: [given: Given, doing: Doing, bytes: [up: number, down: number], why: string][] = [
    [{ state: ExState.Introduction }, Doing.Introduction, [0, 0], "a PROXY header"],
    [{ state: ExState.Handshake }, Doing.Handshake, [0, 0], "TLS"],
    [{ state: ExState.Connect, up: 1 }, Doing.Connecting, [1, 0], "a server is being connected"],
    [{ state: ExState.Tunnel, up: 1, down: 2 }, Doing.Open, [1, 2], "a tunnel"],
    [{ finished: "client" }, Doing.ClientFinished, [0, 0], "the client's end of stream"],
    [{ finished: "server" }, Doing.ServerFinished, [0, 0], "the server's"],
    [{ state: ExState.Head, http, up: 5, down: 6 }, Doing.Idle, [100, 200], "between requests: those before"],
    [{ state: ExState.Queue, http, up: 5 }, Doing.Queued, [105, 200], "with the present one's"],
    [
      { state: ExState.Forward, http, up: 5, down: 6 },
      Doing.Forwarding,
      [105, 206],
      "with the present one's",
    ],
    [{ state: ExState.Answer, http, down: 6 }, Doing.Answering, [100, 206], "our own words"],
    [{ state: ExState.Linger, http, up: 5 }, Doing.Lingering, [100, 200], "what is dropped is not counted"],
    [{ state: ExState.Tunnel, http, up: 5, down: 6 }, Doing.Open, [105, 206], "after 101"],
  ];
  for (const [given, doing, bytes, why] of cases) {
    const fixture = makeFixture();
    connect(fixture, 1, given);
    const [seen, row] = read(fixture);
    equal(seen, Seen.One, why);
    equal(row.doing, doing, why);
    deepEqual([row.upBytes, row.downBytes], bytes, why);
    equal(row.requests, given.http === undefined ? -1 : 3, why);
    const isBetween = doing === Doing.Idle || doing === Doing.Lingering || doing === Doing.Introduction;
    equal(row.server, isBetween || doing === Doing.Handshake ? 0 : SERVERS[0], why);
  }
});

test("nobody is in a row that is free, ending, a check's, or somebody else's", () => {
  const cases: [change: (fixture: Fixture) => void, why: string][] = [
    [(fixture) => tablesOf(fixture).exState[1] = ExState.Free, "free"],
    [(fixture) => tablesOf(fixture).exState[1] = ExState.Done, "being settled"],
    [(fixture) => tablesOf(fixture).exDown[1] = 0, "a check has no client"],
    [(fixture) => tablesOf(fixture).slotState[2] = SlotState.Closing, "its socket is to be closed"],
    [(fixture) => tablesOf(fixture).slotEx[2] = 5, "the slot has another exchange"],
    [(fixture) => tablesOf(fixture).exDown[1] = 1e9, "a link of a free list, seen by chance"],
  ];
  for (const [change, why] of cases) {
    const fixture = makeFixture();
    connect(fixture, 1);
    change(fixture);
    equal(read(fixture)[0], Seen.Nobody, why);
  }
});

test("a row that changes while it is read is read again, and is never of two", () => {
  const cases: [change: (fixture: Fixture) => void, why: string][] = [
    [(fixture) => tablesOf(fixture).slotGen[2]++, "another connection in the same slot"],
    [(fixture) => tablesOf(fixture).exServer[1] = SERVERS[1], "the next server"],
    [(fixture) => tablesOf(fixture).exRequests[1]++, "the next request"],
    [(fixture) => tablesOf(fixture).exState[1] = ExState.Connect, "the next state"],
    [
      (fixture) => {
        const tables = tablesOf(fixture);
        tables.exUp[1] = 0;
      },
      "its server's connection is gone",
    ],
    [(fixture) => fixture.peers.get("1 2")!.set([10, 9, 9, 9], 4), "another address, told by a header"],
  ];
  for (const [change, why] of cases) {
    const fixture = makeFixture();
    connect(fixture, 1, { up: 1 });
    let looks = 0;
    const [seen, row] = read(fixture, (look) => {
      looks = look + 1;
      if (look === 0) change(fixture);
    });
    equal(seen, Seen.One, why);
    equal(looks, 2, `${why}: one look more`);
    const { exServer, slotGen, exUp } = tablesOf(fixture);
    equal(row.identity, 2 * 2 ** 32 + slotGen[2], why);
    equal(row.server, exUp[1] === 0 ? 0 : exServer[1], why);
    deepEqual([...row.peer], [...fixture.peers.get("1 2")!], why);
  }
});

test("a row that changes at each look is given up, not shown", () => {
  const fixture = makeFixture();
  connect(fixture, 1);
  let looks = 0;
  const [seen] = read(fixture, () => {
    looks++;
    tablesOf(fixture).slotGen[2]++;
  });
  equal(seen, Seen.Changed);
  equal(looks, 4, "a bound on looks");
});

test("a connection that ends while it is read is nobody", () => {
  const fixture = makeFixture();
  connect(fixture, 1);
  const [seen] = read(fixture, () => {
    tablesOf(fixture).slotState[2] = SlotState.Closing;
    fixture.peers.delete("1 2");
  });
  equal(seen, Seen.Nobody);
});

test("rows are read as far as any was used, and no longer than the table is theirs", () => {
  const fixture = makeFixture(), [reactor] = fixture.reactors;
  const source = exchangesOf(reactor, fixture.sight.peerOf);
  equal(source.end(), 0);
  reactor.stats.count[Count.ExchangesEnd] = 5;
  equal(source.end(), 5);
  reactor.stats.count[Count.ExchangesEnd] = 1e9;
  equal(source.end(), reactor.sizes.exchanges, "never beyond the table");
  equal(source.isCurrent(), true);
  (reactor as { tables: unknown }).tables = { ...reactor.tables };
  equal(source.isCurrent(), false, "its reactor died and was replaced");
});
