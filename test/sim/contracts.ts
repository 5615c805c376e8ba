// Which errors each call's contract names, read from the comments above the functions in ffi/, and those
// that only the control plane ever sees, provoked here. What a run of the simulation has not returned, it
// has not tested.
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { ARENA_BYTES, ARENA_SCRATCH } from "../../src/base/limits.ts";
import { EINPROGRESS } from "../../src/sys/errno.ts";
import {
  DATAGRAM_SYMBOLS,
  HANDOVER_SYMBOLS,
  INHERITED_SYMBOLS,
  LOG_SYMBOLS,
  SERVICE_SYMBOLS,
  SOCKET_STORE_SYMBOLS,
  SYMBOLS,
  TLS_STORE_SYMBOLS,
} from "../../src/sys/symbols.ts";
import { fakeProvider, type Tally } from "./calls.ts";
import { Clock } from "./clock.ts";
import { FakeKernel, type Weather } from "./kernel.ts";
import { ipAddress, unixAddress } from "./plans.ts";
import { Random } from "./random.ts";
import type { Memory } from "./run.ts";
import { Socket } from "./socket.ts";

/** "symbol ERRNO": cannot be provoked here, and why not. */
const BEYOND_REACH: Readonly<Record<string, string>> = {
  "pattern_match ENOMEM": "the library's own, and it would take all memory",
};

/** No run makes these calls: they have tests with the library itself. */
const ELSEWHERE: ReadonlySet<string> = new Set([
  ...LOG_SYMBOLS,
  ...TLS_STORE_SYMBOLS,
  ...DATAGRAM_SYMBOLS,
  ...SOCKET_STORE_SYMBOLS,
  ...HANDOVER_SYMBOLS,
  ...INHERITED_SYMBOLS,
  ...SERVICE_SYMBOLS,
]);

/** Nothing goes wrong. */
export const CALM: Weather = {
  fds: 1_000,
  spurious: 0,
  short: 0,
  stale: 0,
  disorder: 0,
  signal: 0,
  scarce: 0,
  pipeTrouble: 0,
  callMs: 0,
  deathAfter: 0,
  bugAfter: 0,
};

/** "symbol ERRNO" for every error that a contract in ffi/ names. */
export function namedErrors(): string[] {
  const ffi = fileURLToPath(new URL("../../ffi/", import.meta.url));
  const named = new Set<string>();
  for (const file of readdirSync(ffi).filter((name) => name.endsWith(".c"))) {
    const source = readFileSync(ffi + file, "utf8");
    for (
      const [, comment, symbol] of source.matchAll(/\/\*((?:(?!\*\/)[\s\S])*)\*\/\s*int32_t sl_(\w+)\(/g)
    ) {
      if (!(symbol in SYMBOLS) || ELSEWHERE.has(symbol)) continue; // inner, or not a run's
      for (const [, errno] of comment.matchAll(/-(E[A-Z]+)\b/g)) named.add(`${symbol} ${errno}`);
    }
  }
  named.delete("setup EBUG");
  return [...named].filter((name) => !(name in BEYOND_REACH)).sort();
}

/** Provokes what no reactor sees. */
export function provoke(memory: Memory, tally: Tally): void {
  const clock = new Clock(1_000);
  const kernel = new FakeKernel(new Random(1), clock, CALM);
  const sys = fakeProvider(kernel, memory.library, tally).kernel;
  const arena = new Uint8Array(memory.library.arena(1, ARENA_BYTES));
  kernel.world = { connect: () => new Socket(1, 1, true), adopted() {}, shut() {}, betweenTurns() {} };
  const listen = (index: number, address: Uint8Array): number => {
    arena.set(address, ARENA_SCRATCH);
    return sys.listen(index, ARENA_SCRATCH, 0, 1, 0);
  };
  sys.record_bytes(99);
  sys.room_open(0, 1, 1, 1);
  sys.room_open(0, 1, 1, 1);
  sys.room_open(1, 2, 1, 1);
  sys.enter(0);
  kernel.me = -1; // another thread
  sys.enter(0);
  listen(0, ipAddress(127, 1, 8_000));
  listen(1, ipAddress(127, 1, 8_000));
  listen(1, ipAddress(127, 1, 80));
  listen(1, ipAddress(10, 1, 8_000));
  listen(1, unixAddress(1));
  sys.listener_queue(1, 0);
  sys.peer_of(1, 1, ARENA_SCRATCH);
  sys.enter(1);
  arena.set(ipAddress(10, 1, 80), ARENA_SCRATCH);
  if (sys.connect(1, 0, ARENA_SCRATCH, 0) !== -EINPROGRESS) throw new Error("the fake's connect is too fast");
  sys.peername(1, ARENA_SCRATCH);
  provokeLibrary(memory, arena, tally);
}

function provokeLibrary({ library: { kernel } }: Memory, arena: Uint8Array, tally: Tally): void {
  const call = (name: string, result: number): number => {
    if (result < 0) tally.of(name)[-result]++;
    return result;
  };
  const compile = (expression: string): number => {
    arena.set(new TextEncoder().encode(expression), ARENA_SCRATCH);
    return call(
      "pattern_compile",
      kernel.pattern_compile(ARENA_SCRATCH, expression.length, ARENA_SCRATCH + 1_000),
    );
  };
  call("machine", kernel.machine(99));
  compile("(");
  const patterns = [compile("(a+)+$")];
  const text = new TextEncoder().encode("a".repeat(40) + "b");
  arena.set(text, ARENA_SCRATCH);
  call("pattern_match", kernel.pattern_match(patterns[0], ARENA_SCRATCH, text.length));
  for (let pattern = compile("a"); pattern > 0; pattern = compile("a")) patterns.push(pattern);
  for (const pattern of patterns) kernel.pattern_free(pattern);
}
