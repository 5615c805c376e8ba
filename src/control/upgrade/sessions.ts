// Sessions of datagrams on their way from one process to the next: rows of shared/handed_flows.ts. On the way listeners
// and servers are places in lists of names, and a listening socket is its place among those that were handed over.
import { NONE, TICK_MS } from "../../base/limits.ts";
import { HANDED_ADDRESS_INTS, HANDED_TOLD_INTS, HandedFlow } from "../../shared/handed_flows.ts";
import { openTable } from "../../shared/columns.ts";
import { Count } from "../../shared/stats.ts";
import { openFlows, openSlots, SlotState, TIMERS } from "../../shared/tables.ts";
import { sys } from "../../sys/sys.ts";
import type { Directory } from "../directory.ts";
import type { Socket } from "../listen_sockets.ts";
import type { Reactor } from "../reactors.ts";
import { Section } from "./format.ts";
import { jsonBytes, jsonOf } from "./memory.ts";
import { keyOf } from "./state.ts";

/** Sessions as they are in one process: rows, and the descriptor of each row's socket to its server. */
export interface HandedSessions {
  readonly sections: ReadonlyMap<Section, Uint8Array>;
  readonly fds: readonly number[];
}

/** All sessions of reactors whose tables stand still. The descriptors stay the reactors'. */
export function handedSessions(
  reactors: readonly Reactor[],
  sockets: readonly Socket[],
  directory: Directory,
): HandedSessions {
  const rows: number[][] = [], fds: number[] = [];
  const listeners = [...directory.listeners.keys()], servers = [...directory.servers.keys()];
  const listenerAt = placesOf(listeners), serverAt = placesOf(servers);
  const socketAt = placesOf(sockets.map(({ socket }) => socket));
  for (const { room, sizes, tables, stats } of reactors) {
    const flows = openFlows(tables.flows, sizes.slots), slots = openSlots(tables.slots, sizes.slots);
    const { timerTick } = openTable(TIMERS, tables.timers, sizes.timers);
    const end = Math.min(sizes.slots, stats.count[Count.FlowsEnd]);
    for (let slot = 1; slot < end; slot++) {
      if (slots.slotState[slot] !== SlotState.Flow) continue;
      const fd = sys.slot_fd(room, slot), socket = socketAt.get(flows.flowSocket[slot]);
      const listener = listenerAt.get(flows.flowListener[slot]),
        server = serverAt.get(flows.flowServer[slot]);
      if (fd < 0 || socket === undefined || listener === undefined || server === undefined) continue;
      const row = new Array<number>(HandedFlow.Row).fill(0);
      row[HandedFlow.Socket] = socket;
      row[HandedFlow.Listener] = listener;
      row[HandedFlow.Server] = server;
      row[HandedFlow.Flags] = flows.flowFlags[slot];
      row[HandedFlow.Tried] = flows.flowTried[slot];
      row[HandedFlow.HeardMs] = flows.flowHeardTick[slot] * TICK_MS;
      row[HandedFlow.DueMs] = timerTick[slot] * TICK_MS;
      row[HandedFlow.UpDatagrams] = flows.flowUpDatagrams[slot];
      row[HandedFlow.DownDatagrams] = flows.flowDownDatagrams[slot];
      row[HandedFlow.UpBytes] = flows.flowUpBytes[slot];
      row[HandedFlow.DownBytes] = flows.flowDownBytes[slot];
      row[HandedFlow.StartMs] = flows.flowStartMs[slot];
      for (let int = 0; int < HANDED_ADDRESS_INTS; int++) {
        row[HandedFlow.Address + int] = flows.flowAddress[slot * HANDED_ADDRESS_INTS + int];
      }
      for (let int = 0; int < HANDED_TOLD_INTS; int++) {
        row[HandedFlow.Told + int] = flows.flowTold[slot * HANDED_TOLD_INTS + int];
      }
      rows.push(row);
      fds.push(fd);
    }
  }
  const names = {
    listeners: listeners.map((number) => listenerName(directory, number)!),
    servers: servers.map((number) => keyOf(directory.servers.get(number)!)),
  };
  return {
    sections: new Map([
      [Section.Names, jsonBytes(names)],
      [Section.Sessions, new Uint8Array(memoryOf(rows))],
    ]),
    fds,
  };
}

/** Rows by the room that watches their socket, with numbers of this process. */
export interface AdoptedSessions {
  readonly byRoom: ReadonlyMap<number, SharedArrayBuffer>;
  /** Descriptors of sessions that nobody here can go on with: their listener, server or socket is not here. */
  readonly strays: readonly number[];
}

/**
 * Finds out whose the sessions of another process are here.
 * @param sockets those that were handed over, in the order in which they were; undefined: not in use here
 */
export function adoptedSessions(
  sections: ReadonlyMap<Section, Uint8Array>,
  fds: readonly number[],
  sockets: readonly (Socket | undefined)[],
  directory: Directory,
): AdoptedSessions {
  const names = jsonOf(sections.get(Section.Names));
  const { listeners } = directory.current;
  const listenerOf = numbersOf(names.listeners, listeners, (number) => listenerName(directory, number));
  const serverOf = numbersOf(names.servers, directory.current.servers, (number) => {
    const entry = directory.servers.get(number);
    return entry && keyOf(entry);
  });
  const upstreamOf = new Map(
    [...directory.current.upstreams].map((number) => [directory.upstreams.get(number)?.name, number]),
  );
  const bytes = sections.get(Section.Sessions) ?? new Uint8Array();
  const rows = new Float64Array(bytes.slice(0, bytes.length - bytes.length % 8).buffer);
  const byRoom = new Map<number, number[][]>(), strays: number[] = [];
  fds.forEach((fd, index) => {
    const at = index * HandedFlow.Row;
    const socket = sockets[rows[at + HandedFlow.Socket]];
    const listener = listenerOf[rows[at + HandedFlow.Listener]] ?? NONE;
    const server = serverOf[rows[at + HandedFlow.Server]] ?? NONE;
    const upstream = upstreamOf.get(directory.servers.get(server)?.upstream) ?? NONE;
    const isListeners = socket?.listener === directory.listeners.get(listener)?.name;
    if (socket === undefined || !isListeners || listener === NONE || server === NONE || upstream === NONE) {
      strays.push(fd);
      return;
    }
    const row = [...rows.subarray(at, at + HandedFlow.Row)];
    row[HandedFlow.Fd] = fd;
    row[HandedFlow.Socket] = socket.socket;
    row[HandedFlow.Listener] = listener;
    row[HandedFlow.Upstream] = upstream;
    row[HandedFlow.Server] = server;
    const room = socket.reactor + 1, others = byRoom.get(room);
    if (others === undefined) byRoom.set(room, [row]);
    else others.push(row);
  });
  return { byRoom: new Map([...byRoom].map(([room, rows]) => [room, memoryOf(rows)])), strays };
}

/** A listener is one of the places where it listens. */
function listenerName(directory: Directory, number: number): string | undefined {
  const entry = directory.listeners.get(number);
  return entry && `${entry.name}\n${entry.bind}`;
}

function memoryOf(rows: readonly number[][]): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(rows.length * HandedFlow.Row * Float64Array.BYTES_PER_ELEMENT);
  const doubles = new Float64Array(memory);
  rows.forEach((row, index) => doubles.set(row, index * HandedFlow.Row));
  return memory;
}

function placesOf(numbers: readonly number[]): Map<number, number> {
  return new Map(numbers.map((number, place) => [number, place]));
}

/** The numbers here of what another process has named. */
function numbersOf(
  names: unknown,
  numbers: Iterable<number>,
  nameOf: (number: number) => string | undefined,
): (number | undefined)[] {
  const known = new Map([...numbers].map((number) => [nameOf(number), number]));
  return Array.isArray(names) ? names.map((name) => known.get(name)) : [];
}
