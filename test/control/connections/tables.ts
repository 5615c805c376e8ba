// Connections in the tables of a process to look at, written as a reactor writes them.
import type { Fixture } from "../sight_fixture.ts";
import { LISTENER, SERVERS, UPSTREAM } from "../sight_fixture.ts";
import { Count } from "../../../src/shared/stats.ts";
import {
  ExFlag,
  ExState,
  openExchanges,
  openSlots,
  SlotFlag,
  SlotState,
} from "../../../src/shared/tables.ts";

export type Tables = ReturnType<typeof openExchanges> & ReturnType<typeof openSlots>;

export function tablesOf({ reactors }: Fixture, index = 0): Tables {
  const { tables, sizes } = reactors[index];
  return { ...openExchanges(tables.exchanges, sizes.exchanges), ...openSlots(tables.slots, sizes.slots) };
}

export interface Given {
  readonly state?: ExState;
  /** 10.0.0.NUMBER, port 40000 + NUMBER, unless another record is given. */
  readonly peer?: readonly number[];
  readonly listener?: number;
  readonly server?: number;
  readonly ageMs?: number;
  readonly idleMs?: number;
  readonly up?: number;
  readonly down?: number;
  readonly http?: { readonly requests: number; readonly before: readonly [up: number, down: number] };
  readonly finished?: "client" | "server";
}

/** A connection in row `number` of a reactor's exchanges, its two slots behind each other. */
export function connect(fixture: Fixture, number: number, given: Given = {}, index = 0): Tables {
  const tables = tablesOf(fixture, index), { room, stats } = fixture.reactors[index];
  const { state = ExState.Tunnel, server = SERVERS[0], http, finished } = given;
  const early = [ExState.Introduction, ExState.Handshake, ExState.Head];
  const down = 2 * number, up = early.includes(state) ? 0 : down + 1;
  tables.exState[number] = state;
  tables.exDown[number] = down;
  tables.exUp[number] = up;
  tables.exListener[number] = given.listener ?? LISTENER;
  tables.exUpstream[number] = UPSTREAM;
  tables.exServer[number] = server;
  tables.exStartMs[number] = fixture.nowMs - (given.ageMs ?? 0);
  tables.exOpenedMs[number] = fixture.nowMs - (given.ageMs ?? 0);
  tables.exSeenMs[number] = fixture.nowMs - (given.idleMs ?? 0);
  tables.slotState[down] = SlotState.Open;
  tables.slotEx[down] = number;
  tables.slotGen[down]++;
  if (up !== 0) {
    tables.slotState[up] = SlotState.Open;
    tables.slotEx[up] = number;
    tables.slotMovedBytes[up] = given.down ?? 0;
  }
  tables.slotMovedBytes[down] = given.up ?? 0;
  if (http !== undefined) {
    tables.exFlags[number] = ExFlag.Http;
    tables.exRequests[number] = http.requests;
    [tables.exUpBefore[number], tables.exDownBefore[number]] = http.before;
    tables.exUpBytes[number] = given.up ?? 0;
    tables.exDownBytes[number] = given.down ?? 0;
  }
  if (finished === "client") tables.slotFlags[down] |= SlotFlag.Finished;
  if (finished === "server") tables.slotFlags[up] |= SlotFlag.Finished;
  const peer = new Uint8Array(24), port = 40_000 + number;
  peer.set(given.peer ?? [4, 0, port >> 8, port & 0xff, 10, 0, 0, number]);
  fixture.peers.set(`${room} ${down}`, peer);
  stats.count[Count.ExchangesEnd] = Math.max(stats.count[Count.ExchangesEnd], number + 1);
  return tables;
}
