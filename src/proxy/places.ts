// Places at servers: how many exchanges are at one, over all reactors, where that is limited or the upstream's
// rule goes by it. One word for each server, moved by compare-and-swap; whose place it is, is a flag of the
// exchange (ExFlag.Placed).
import { shared } from "./context.ts";

/** Takes one of a server's places (`most`; 0: it has as many as are wanted); false when all are taken. */
export function takePlace(upstream: number, server: number, most: number): boolean {
  for (;;) {
    const used = Atomics.load(shared.serverInUse, server);
    if (used >= most && most !== 0) return false;
    if (Atomics.compareExchange(shared.serverInUse, server, used, used + 1) === used) break;
  }
  Atomics.add(shared.upstreamInUse, upstream, 1);
  return true;
}

/** Whether more are taken than there may be, as after a change of the limit. */
export function tooManyPlaces(server: number, most: number): boolean {
  return Atomics.load(shared.serverInUse, server) > most;
}

export function givePlaceBack(upstream: number, server: number): void {
  Atomics.sub(shared.serverInUse, server, 1);
  Atomics.sub(shared.upstreamInUse, upstream, 1);
}
