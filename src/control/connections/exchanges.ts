// Connections as a reactor's tables have them, read while it works. Nothing is locked and nobody waits: what tells
// one connection from the next is read before and after all else, and a row where the two differ is read again. A
// socket is marked as closing before it is closed, so an address that was read while it was not is its own.
import { NONE, PEER_BYTES } from "../../base/limits.ts";
import { Count } from "../../shared/stats.ts";
import { ExFlag, ExState, openExchanges, openSlots, SlotFlag, SlotState } from "../../shared/tables.ts";
import type { ReactorView, Sight } from "../sight.ts";
import { Doing, identityOf, LOOKS_MAX, type Row, Seen, type Source, Speaks } from "./row.ts";
import { tagOf } from "./tags.ts";

/** States in which bytes of a request are not yet among those of the requests before it. */
const UNDER_WAY = 1 << ExState.Queue | 1 << ExState.Connect | 1 << ExState.Forward | 1 << ExState.Answer |
  1 << ExState.Tunnel;

/** The connections of a reactor. */
export function exchangesOf(reactor: ReactorView, peerOf: Sight["peerOf"]): Source {
  const { room, sizes, tables, stats } = reactor;
  const exchanges = openExchanges(tables.exchanges, sizes.exchanges);
  const slots = openSlots(tables.slots, sizes.slots);
  const peer = new Uint8Array(PEER_BYTES);
  const tag = tagOf(tables);
  return {
    room,
    end: () => Math.min(sizes.exchanges, stats.count[Count.ExchangesEnd]),
    isCurrent: () => reactor.tables === tables,
    read: (ex, row) => {
      for (let look = 0; look < LOOKS_MAX; look++) {
        const state = Atomics.load(exchanges.exState, ex), down = Atomics.load(exchanges.exDown, ex);
        if (state === ExState.Free || state === ExState.Done || down === NONE || down >= sizes.slots) {
          return Seen.Nobody;
        }
        const gen = Atomics.load(slots.slotGen, down);
        if (!isOpen(slots.slotState[down]) || slots.slotEx[down] !== ex) {
          if (exchanges.exDown[ex] === down && exchanges.exState[ex] === state) return Seen.Nobody;
          continue;
        }
        const requests = exchanges.exRequests[ex], up = exchanges.exUp[ex];
        const server = exchanges.exServer[ex];
        if (!peerOf(room, down, row.peer)) continue;
        fill(ex, state, down, up, row);
        row.room = room;
        row.tag = tag;
        row.identity = identityOf(down, gen);
        // The same all along? Then nothing of it can be of another connection, or of another request.
        const isSame = peerOf(room, down, peer) && equal(peer, row.peer) && exchanges.exUp[ex] === up &&
          exchanges.exServer[ex] === server && exchanges.exRequests[ex] === requests &&
          (up === NONE || slots.slotEx[up] === ex) && slots.slotEx[down] === ex &&
          Atomics.load(exchanges.exDown, ex) === down && Atomics.load(exchanges.exState, ex) === state &&
          isOpen(Atomics.load(slots.slotState, down)) && Atomics.load(slots.slotGen, down) === gen;
        if (isSame) return Seen.One;
      }
      return Seen.Changed;
    },
  };

  function fill(ex: number, state: ExState, down: number, up: number, row: Row): void {
    const isHttp = (exchanges.exFlags[ex] & ExFlag.Http) !== 0;
    const isBetween = isHttp && (state === ExState.Head || state === ExState.Linger);
    row.at = ex;
    row.doing = doingOf(state, slots.slotFlags[down], up === NONE ? 0 : slots.slotFlags[up]);
    row.speaks = isHttp ? Speaks.Http : Speaks.Tcp;
    row.listener = exchanges.exListener[ex];
    row.upstream = isBetween ? NONE : exchanges.exUpstream[ex];
    row.server = up === NONE || isBetween ? NONE : exchanges.exServer[ex];
    row.seenMs = exchanges.exSeenMs[ex];
    if (isHttp) {
      const isUnderWay = (UNDER_WAY & (1 << state)) !== 0;
      row.openedMs = exchanges.exOpenedMs[ex];
      row.upBytes = exchanges.exUpBefore[ex] + (isUnderWay ? exchanges.exUpBytes[ex] : 0);
      row.downBytes = exchanges.exDownBefore[ex] + (isUnderWay ? exchanges.exDownBytes[ex] : 0);
      row.requests = exchanges.exRequests[ex];
    } else {
      row.openedMs = exchanges.exStartMs[ex];
      row.upBytes = slots.slotMovedBytes[down];
      row.downBytes = up === NONE ? 0 : slots.slotMovedBytes[up];
      row.requests = -1;
    }
  }
}

function isOpen(state: number): boolean {
  return state === SlotState.Open || state === SlotState.Handshake;
}

function doingOf(state: ExState, downFlags: number, upFlags: number): Doing {
  switch (state) {
    case ExState.Introduction:
      return Doing.Introduction;
    case ExState.Handshake:
      return Doing.Handshake;
    case ExState.Head:
      return Doing.Idle;
    case ExState.Queue:
      return Doing.Queued;
    case ExState.Connect:
      return Doing.Connecting;
    case ExState.Forward:
      return Doing.Forwarding;
    case ExState.Answer:
      return Doing.Answering;
    case ExState.Linger:
      return Doing.Lingering;
    case ExState.Tunnel:
      if (downFlags & SlotFlag.Finished) return Doing.ClientFinished;
      return upFlags & SlotFlag.Finished ? Doing.ServerFinished : Doing.Open;
    case ExState.Free:
    case ExState.Probe:
    case ExState.Done:
      return Doing.Open; // never listed
  }
}

function equal(one: Uint8Array, other: Uint8Array): boolean {
  for (let at = 0; at < PEER_BYTES; at++) if (one[at] !== other[at]) return false;
  return true;
}
