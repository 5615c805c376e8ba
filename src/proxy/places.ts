// Places at servers: how many exchanges may be at one at a time, over all reactors. One word for each server,
// moved by compare-and-swap; whose place it is, is a flag of the exchange (ExFlag.Placed).
import { shared } from "./context.ts";

/** Takes one of a server's places, where they are limited (`most` > 0); false when all are taken. */
export function takePlace(server: number, most: number): boolean {
  for (;;) {
    const used = Atomics.load(shared.serverInUse, server);
    if (used >= most) return false;
    if (Atomics.compareExchange(shared.serverInUse, server, used, used + 1) === used) return true;
  }
}

/** Whether more are taken than there may be, as after a change of the limit. */
export function tooManyPlaces(server: number, most: number): boolean {
  return Atomics.load(shared.serverInUse, server) > most;
}

export function givePlaceBack(server: number): void {
  Atomics.sub(shared.serverInUse, server, 1);
}
