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

/** Takes one even if it is one too many, for a moment. */
export function takePlaceAnyway(server: number): void {
  Atomics.add(shared.serverInUse, server, 1);
}

export function givePlaceBack(server: number): void {
  Atomics.sub(shared.serverInUse, server, 1);
}
