// Datagrams through a whole reactor on a fake kernel, by seed: servers that answer, are silent, refuse, or cannot be
// reached; buffers that are full; datagrams that were cut, joined, or are too long; sockets that cannot be had. No
// answer may ever reach another client, no server be told of another; every source gets back what it was counted; every datagram is forwarded or counted; in the end nothing is held.
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { CONNECTS_PER_TURN, DATAGRAMS_PER_CALL, LOOKS_PER_TURN, NONE } from "../../src/base/limits.ts";
import { settle } from "../../src/control/settle.ts";
import { flowsCheck, flowsTaken } from "../../src/net/flows.ts";
import { slotGen, slotsCheck, slotsTaken, slotState } from "../../src/net/slots.ts";
import { timersCheck } from "../../src/net/timers.ts";
import { datagramsCheck } from "../../src/proxy/datagram.ts";
import { reactorTurn } from "../../src/proxy/reactor.ts";
import type { Message } from "../../src/shared/mailbox.ts";
import { Reason, REASONS } from "../../src/shared/reason.ts";
import { openShared, PER_LINE, Verdict } from "../../src/shared/servers.ts";
import { Count, openStats } from "../../src/shared/stats.ts";
import { SlotState } from "../../src/shared/tables.ts";
import {
  CLIENTS,
  CONNECTIONS,
  Death,
  IDLE_MS,
  LISTENER,
  planFor,
  ROOM,
  Server,
  SERVERS,
  start,
  TURN_MS,
  UPSTREAM,
  type Ways,
  World,
} from "./datagram_fixture.ts";
import { Random } from "../sim/random.ts";

/** @param dies after so many calls at most; 0: never. @returns whether it died */
function run(seed: number, dies = 0): boolean {
  const random = new Random(seed), calls = { left: 0 };
  const ways = {
    accepts: random.oneIn(3),
    sends: random.oneIn(3),
    ofSource: random.pick([0, 0, 1]),
    ofAll: random.pick([0, 0, 10]),
  };
  const world = new World(random, random.pick([0, 0, 7, 50]), ways);
  const responses = random.pick([-1, -1, 0, 1, 2]), places = random.pick([0, 0, 3, 20]);
  const plan = planFor(responses, places, ways);
  const started = start(world, plan, random.pick([CONNECTIONS, 5]), seed, calls);
  const { shared, counted, counts, sizes, tables } = started;
  const turn = (): void => {
    reactorTurn(0, () => undefined);
    world.nowMs += TURN_MS;
    flowsCheck();
    timersCheck();
    slotsCheck();
    datagramsCheck();
    for (const [slot, { gen }] of world.ups) {
      ok(slotState[slot] === SlotState.Flow && slotGen[slot] === gen, "a socket that nobody owns");
    }
    strictEqual(flowsTaken(), world.ups.size);
    strictEqual(counted.listenerCurrent[LISTENER], world.ups.size);
    if (ways.ofSource + ways.ofAll > 0) strictEqual(counts.sourceConnections[1], world.ups.size);
    if (ways.ofAll > 0) ok(world.ups.size <= ways.ofAll);
  };
  const nothingIsCounted = (): void => {
    ok(counts.sourceConnections.every((count) => count === 0), "a source was not given back, or twice");
    strictEqual(shared.reactorCharging[ROOM * PER_LINE], NONE);
    deepStrictEqual([...shared.serverInUse.subarray(0, SERVERS + 1)], [0, 0, 0, 0, 0]);
    strictEqual(shared.upstreamInUse[UPSTREAM], 0);
  };
  if (dies > 0) calls.left = random.between(1, dies);
  for (let step = 0; step < 60; step++) {
    for (let asks = random.below(40); asks > 0; asks--) {
      const client = random.below(random.pick([3, CLIENTS]));
      for (let burst = random.below(4); burst >= 0; burst--) world.ask(client);
    }
    if (random.oneIn(6)) {
      const state = random.pick([Server.Answers, Server.Silent, Server.Refuses, Server.Unreachable]);
      world.servers[random.between(1, SERVERS)] = state;
    }
    if (random.oneIn(9)) world.nowMs += IDLE_MS * random.below(3);
    try {
      turn();
    } catch (error) {
      if (!(error instanceof Death)) throw error;
      settle({ room: ROOM, sizes, tables, stats: counted }, shared, counts);
      nothingIsCounted();
      return true;
    }
  }
  for (let turns = 0; turns < 400 && (world.asked.length > 0 || flowsTaken() > 0); turns++) turn();
  settled(world, shared, counted);
  nothingIsCounted();
  return false;
}

function settled(
  world: World,
  shared: ReturnType<typeof openShared>,
  { count, ended, ...stats }: ReturnType<typeof openStats>,
): void {
  strictEqual(slotsTaken(), 0);
  strictEqual(flowsTaken(), 0);
  strictEqual(shared.reactorHanded[ROOM * PER_LINE], shared.reactorEnded[ROOM * PER_LINE]);
  strictEqual(shared.reactorHanded[ROOM * PER_LINE], stats.listenerOpened[LISTENER]);
  deepStrictEqual([...shared.serverInUse.subarray(0, SERVERS + 1)], [0, 0, 0, 0, 0]);
  deepStrictEqual([...stats.serverCurrent.subarray(0, SERVERS + 1)], [0, 0, 0, 0, 0]);
  const up = stats.listenerUpDatagrams[LISTENER], down = stats.listenerDownDatagrams[LISTENER];
  strictEqual(count[Count.DatagramsCut], world.sent.cut + world.read.cut);
  strictEqual(down, world.read.datagrams);
  // What was asked was forwarded, or refused, or could not be sent; what was answered likewise.
  const lost = count[Count.DatagramsUnsent] + count[Count.DatagramsRefused];
  strictEqual(world.sent.datagrams + world.read.datagrams, up + world.delivered + lost);
  strictEqual(count[Count.Bugs], 0);
  strictEqual(ended[Reason.ProxyMissing], world.bad);
  const sessions = [
    Reason.SessionDone,
    Reason.SessionIdle,
    Reason.SessionUnanswered,
    Reason.ConnectionRefused,
  ]
    .reduce((sum, reason) => sum + ended[reason], 0);
  ok(sessions <= count[Count.Opened], REASONS.map(({ name }, reason) => `${name} ${ended[reason]}`).join());
}

const NO_WAYS: Ways = { accepts: false, sends: false, ofSource: 0, ofAll: 0 };

describe("datagrams on a fake kernel", () => {
  const turn = (): void => reactorTurn(0, () => undefined);

  it("a session gives way to none that gets none: all servers are down", () => {
    const world = new World(new Random(1), 0, NO_WAYS);
    world.servers.fill(Server.Silent);
    const { shared, counted } = start(world, planFor(-1, 0, NO_WAYS), 1, 1);
    world.ask(1);
    turn();
    strictEqual(flowsTaken(), 1);
    shared.serverVerdict.fill(Verdict.Down);
    Atomics.add(shared.verdictVersion, 0, 1);
    world.ask(2);
    turn();
    strictEqual(flowsTaken(), 1);
    strictEqual(counted.ended[Reason.LimitReached], 0);
    ok(counted.ended[Reason.DestinationUnavailable] > 0);
    shared.serverVerdict.fill(Verdict.Up);
    Atomics.add(shared.verdictVersion, 0, 1);
    world.ask(2);
    turn();
    strictEqual(counted.ended[Reason.LimitReached], 1, "the oldest gives way to one that gets one");
    for (let turns = 0; turns < 100 && flowsTaken() > 0; turns++) {
      turn();
      world.nowMs += IDLE_MS;
    }
    strictEqual(flowsTaken(), 0);
  });

  it("a session whose server is gone from its upstream stays while that answers, and no longer", () => {
    for (const answers of [true, false]) {
      const world = new World(new Random(1), 0, NO_WAYS);
      world.servers.fill(answers ? Server.Answers : Server.Silent);
      const { counted } = start(world, planFor(-1, 0, NO_WAYS), CONNECTIONS, 1);
      world.ask(1);
      turn();
      const [{ server }] = world.ups.values(), next = planFor(-1, 0, NO_WAYS);
      const members = [...next.upstreamMember.subarray(0, SERVERS)].filter((member) => member !== server);
      next.upstreamMember.set(members);
      next.upstreamCount[UPSTREAM] = members.length;
      next.serverUpstream[server] = NONE;
      const messages: Message[] = [{ kind: "plan", plan: next.memory }];
      world.wakes = true;
      reactorTurn(0, () => messages.shift());
      strictEqual(messages.length, 0);
      const asked: number[] = [];
      for (let asks = 0; asks < 8; asks++) {
        world.nowMs += IDLE_MS / 4;
        world.ask(1);
        turn();
        turn(); // for what is answered
        asked.push([...world.ups.values()].filter((up) => up.server === server).length);
      }
      deepStrictEqual(asked, answers ? [1, 1, 1, 1, 1, 1, 1, 1] : [1, 1, 1, 0, 0, 0, 0, 0]);
      strictEqual(counted.ended[Reason.SessionMoved], answers ? 0 : 1);
      for (let turns = 0; turns < 100 && flowsTaken() > 0; turns++) {
        turn();
        world.nowMs += IDLE_MS;
      }
      strictEqual(flowsTaken(), 0);
    }
  });

  it("new clients where all of many servers are full do not take the whole turn", () => {
    const servers = LOOKS_PER_TURN / DATAGRAMS_PER_CALL + 1;
    const world = new World(new Random(1), 0, NO_WAYS);
    const { shared, counted } = start(world, planFor(-1, 1, NO_WAYS, servers), CONNECTIONS, 1);
    shared.serverInUse.fill(1, 0, servers + 1);
    for (let client = 0; client < 3 * DATAGRAMS_PER_CALL; client++) {
      world.asked.push({ client, length: 2, segment: 0, cut: false });
    }
    for (const left of [2, 1, 0]) {
      turn();
      strictEqual(world.asked.length, left * DATAGRAMS_PER_CALL);
    }
    strictEqual(counted.ended[Reason.LimitReached], 3 * DATAGRAMS_PER_CALL);
  });

  it("new clients whose servers cannot be connected to at all do not take the whole turn", () => {
    const world = new World(new Random(1), 0, NO_WAYS);
    world.sourceless = true;
    const { counted } = start(world, planFor(-1, 1, NO_WAYS, 2 * CONNECTS_PER_TURN), CONNECTIONS, 1);
    for (let client = 0; client < 3 * DATAGRAMS_PER_CALL; client++) {
      world.asked.push({ client, length: 2, segment: 0, cut: false });
    }
    for (const turns of [1, 2, 3]) {
      turn();
      strictEqual(world.connects, turns * DATAGRAMS_PER_CALL * CONNECTS_PER_TURN);
    }
    strictEqual(counted.ended[Reason.NoSource], 3 * DATAGRAMS_PER_CALL);
  });

  const seeds = Number(process.env.SLUICE_SIM_SEEDS ?? 150);
  it(`by ${seeds} seeds`, () => {
    for (let seed = 1; seed <= seeds; seed++) {
      try {
        run(seed);
      } catch (error) {
        throw new Error(`seed ${seed}: ${error instanceof Error ? error.stack : error}`);
      }
    }
  });

  it("that dies at whatever call: what it had counted is given back, once", () => {
    let deaths = 0;
    for (let seed = 1; seed <= 4 * seeds; seed++) {
      try {
        if (run(seed, 600)) deaths++;
      } catch (error) {
        throw new Error(`seed ${seed}: ${error instanceof Error ? error.stack : error}`);
      }
    }
    ok(deaths > seeds, `${deaths} deaths`);
  });
});
