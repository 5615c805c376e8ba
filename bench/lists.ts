/**
 * What does it cost to find an address in a list? Nanoseconds of one look, in lists of several sizes, for addresses
 * half of which are in them, in no order. No proxy, no socket: `bun bench/lists.ts` (or `deno run -A`).
 */
import { listFind } from "../src/policy/lists.ts";
import { guardsOf, recordOf } from "../test/policy/lists_fixture.ts";

const LOOKS = 4_096;
const ROUNDS = 200;
const RECORD_BYTES = 24;

let state = 1;
const next = (): number => state = Math.imul(state, 1_664_525) + 1_013_904_223 >>> 0;

function v4(): string {
  const word = next();
  return [24, 16, 8, 0].map((shift) => (word >>> shift) & 255).join(".");
}

function v6(): string {
  const groups = Array.from({ length: 7 }, () => (next() >>> 16).toString(16));
  return [(0x2000 + (next() >>> 20)).toString(16), ...groups].join(":");
}

const KINDS: [name: string, address: () => string, prefix: (ip: string) => string][] = [
  ["IPv4 addresses", v4, (ip) => ip],
  ["IPv4 prefixes of 24 bits", v4, (ip) => ip.replace(/\d+$/, "0/24")],
  ["IPv6 addresses", v6, (ip) => ip],
  ["IPv6 prefixes of 64 bits", v6, (ip) => `${ip.split(":").slice(0, 4).join(":")}::/64`],
];

for (const [name, address, prefix] of KINDS) {
  for (const size of [10, 1_000, 100_000]) {
    const known = Array.from({ length: size }, address);
    const list = known.map(prefix).join("\n"), began = performance.now();
    const guards = guardsOf([{ deny: "file:/list" }], { "/list": list }), madeMs = performance.now() - began;
    const records = new Uint8Array(LOOKS * RECORD_BYTES);
    for (let look = 0; look < LOOKS; look++) {
      records.set(recordOf(look % 2 === 0 ? known[next() % size] : address()), look * RECORD_BYTES);
    }
    let best = Infinity, found = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const from = performance.now();
      found = 0;
      for (let look = 0; look < LOOKS; look++) {
        if (listFind(guards, guards.guardDeny[1], records, look * RECORD_BYTES) !== 0) found++;
      }
      best = Math.min(best, performance.now() - from);
    }
    const ns = (best * 1e6 / LOOKS).toFixed(1).padStart(6);
    console.log(
      `${ns} ns  ${String(size).padStart(6)} ${name} (${found} of ${LOOKS} found; made in ${
        madeMs.toFixed(0)
      } ms)`,
    );
  }
}
