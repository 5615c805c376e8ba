import { strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { readCidr } from "../../src/control/config/cidr.ts";
import { ARENA_FIRST, checkPlan, makePlan, NO_SIZES, type Plan, TRUSTED_BYTES } from "../../src/plan/plan.ts";
import { isTrusted } from "../../src/policy/trust.ts";
import { clientOf } from "./routing_fixture.ts";

/** Listeners 1, 2, ... and whom each trusts. */
function planOf(lists: readonly (readonly string[])[]): Plan {
  const all = lists.flat(), arenaBytes = ARENA_FIRST + all.length * TRUSTED_BYTES;
  const sizes = { ...NO_SIZES, listeners: lists.length + 1, upstreams: 1, trusted: all.length, arenaBytes };
  const plan = makePlan(1, sizes);
  let row = 0;
  lists.forEach((list, index) => {
    plan.listenerTrustedFirst[index + 1] = row;
    plan.listenerTrustedCount[index + 1] = list.length;
    for (const text of list) {
      const reading = readCidr(text);
      if (!reading.ok) throw new Error(reading.what);
      const { family, bits, ip } = reading.value, at = ARENA_FIRST + row * TRUSTED_BYTES;
      plan.arena.set([family, bits], at);
      plan.arena.set(ip, at + 4);
      plan.trustedAt[row++] = at;
    }
  });
  checkPlan(plan);
  return plan;
}

const NOBODY = 1, INTERNAL = 2, ONE = 3, NEITHER = 4, ALL = 5, LOCAL = 6;
const plan = planOf([
  [],
  ["10.0.0.0/8", "192.168.0.0/16", "fd00::/8"],
  ["2001:db8::1/128"],
  [],
  ["0.0.0.0/0", "::/0"],
  ["10.0.0.0/8", "unix"],
]);

describe("isTrusted", () => {
  const cases: [listener: number, client: string, want: boolean, why: string][] = [
    [NOBODY, "10.0.0.1", false, "no list, nobody; not the next listener's either"],
    [NOBODY, "127.0.0.1", false, "this machine has no privilege"],
    [NOBODY, "unix", false, "nor has a unix socket, where nobody is trusted"],
    [INTERNAL, "10.1.2.3", true, "the first prefix"],
    [INTERNAL, "192.168.255.1", true, "the second"],
    [INTERNAL, "fd12::1", true, "the last"],
    [INTERNAL, "192.169.0.1", false, "beside the second"],
    [INTERNAL, "mapped:10.1.2.3", true, "mapped IPv4 is IPv4"],
    [INTERNAL, "mapped:11.1.2.3", false, "mapped, in none"],
    [INTERNAL, "2001:db8::1", false, "the next listener's"],
    [INTERNAL, "unix", false, "nobody says so of a unix socket"],
    [LOCAL, "unix", true, "whoever comes through a unix socket"],
    [LOCAL, "127.0.0.1", false, "and nobody else"],
    [ONE, "2001:db8::1", true, "the only one"],
    [ONE, "2001:db8::2", false, "another one"],
    [ONE, "fd12::1", false, "the listener's before it"],
    [ALL, "unix", false, "it has no IP address"],
    [NEITHER, "10.1.2.3", false, "an empty list between two others"],
    [NEITHER, "unix", false, "an empty list between two others"],
    [ALL, "203.0.113.9", true, "all of IPv4"],
    [ALL, "2001:db8::2", true, "all of IPv6"],
    [ALL, "mapped:203.0.113.9", true, "mapped"],
  ];
  for (const [listener, from, want, why] of cases) {
    it(`listener ${listener}, client ${from}: ${why}`, () => {
      const { client, clientAt } = clientOf(from);
      strictEqual(isTrusted(plan, listener, client, clientAt), want);
    });
  }
});
