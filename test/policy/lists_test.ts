import { deepEqual, equal, ok } from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { NONE } from "../../src/base/limits.ts";
import { checkGuards, ENTRY_WORDS, EntryAt, type Guards, NODE_WORDS } from "../../src/plan/guards.ts";
import { listFind } from "../../src/policy/lists.ts";
import { guardsOf, recordOf } from "./lists_fixture.ts";

const SEED = 51_823;

function find(guards: Guards, ip: string): number {
  return listFind(guards, guards.guardDeny[1], recordOf(ip), 0);
}

/** An address as bits, and whether a prefix has it: nothing but text and comparison. */
function bitsOf(ip: string): string {
  const record = recordOf(ip), bytes = record.slice(4, record[0] === 4 ? 8 : 20);
  return [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("");
}

function isIn(ip: string, prefix: string): boolean {
  if (ip === "unix" || prefix === "unix") return ip === prefix;
  const [network, length] = prefix.split("/"), address = bitsOf(ip), other = bitsOf(network);
  if (address.length !== other.length) return false;
  const bits = length === undefined
    ? other.length
    : Number(length) - (network.includes(".") && network.includes(":") ? 96 : 0);
  return address.startsWith(other.slice(0, bits));
}

function v4Of(word: number): string {
  return [24, 16, 8, 0].map((shift) => (word >>> shift) & 255).join(".");
}

function v6Of(words: readonly number[]): string {
  return words.flatMap((word) => [word >>> 16, word & 0xffff]).map((part) => part.toString(16)).join(":");
}

/** A prefix whose bits behind its length are zero. */
function prefix4(word: number, bits: number): string {
  return `${v4Of(bits === 0 ? 0 : word & (-1 << (32 - bits)))}/${bits}`;
}

function prefix6(words: readonly number[], bits: number): string {
  const cut = words.map((word, at) => {
    const left = bits - 32 * at;
    return left >= 32 ? word : left <= 0 ? 0 : word & (-1 << (32 - left));
  });
  return `${v6Of(cut.map((word) => word >>> 0))}/${bits}`;
}

/** Few different bits, so that prefixes meet, cover one another and stand side by side. */
const word = fc.oneof(
  fc.constantFrom(0, 0xffffffff, 0x0a000000, 0x0a000001, 0x0a010000, 0xc0000200, 0x80000000, 0x7fffffff),
  fc.nat({ max: 0xffffffff }),
  fc.nat({ max: 7 }).map((few) => 0x0a000000 + few),
);
const words = fc.tuple(fc.constantFrom(0x20010db8, 0, 0xffffffff), word, word, word);
const prefix = fc.oneof(
  fc.tuple(word, fc.nat({ max: 32 })).map(([one, bits]) => prefix4(one, bits)),
  fc.tuple(word, fc.constantFrom(8, 16, 24, 30, 31, 32)).map(([one, bits]) => prefix4(one, bits)),
  fc.tuple(words, fc.nat({ max: 128 })).map(([all, bits]) => prefix6(all, bits)),
  fc.constant("unix"),
);
const address = fc.oneof(word.map(v4Of), words.map((all) => v6Of(all)), fc.constant("unix"));

describe("listFind", () => {
  const cases: [entries: string[], ip: string, isIn: boolean, why: string][] = [
    [["192.0.2.0/24"], "192.0.2.255", true, "its last"],
    [["192.0.2.0/24"], "192.0.3.0", false, "the one behind it"],
    [["192.0.2.7"], "192.0.2.7", true, "an address alone"],
    [["192.0.2.7"], "192.0.2.6", false, "its neighbour"],
    [["0.0.0.0/0"], "203.0.113.1", true, "all of IPv4"],
    [["0.0.0.0/0"], "::1", false, "and none of IPv6"],
    [["::/0"], "::1", true, "all of IPv6"],
    [["::/0"], "127.0.0.1", false, "and none of IPv4"],
    [["::ffff:10.0.0.0/104"], "10.9.9.9", true, "a mapped prefix is one of IPv4"],
    [["10.0.0.0/8"], "::ffff:10.1.2.3", true, "a mapped address is one of IPv4"],
    [["2001:db8::/32"], "2001:db8:ffff::1", true, "IPv6"],
    [["2001:db8::/32"], "2001:db9::", false, "behind it"],
    [["2001:db8::1"], "2001:db8::2", false, "the last bit but one"],
    [["unix"], "unix", true, "a unix socket's client"],
    [["unix"], "127.0.0.1", false, "and nobody else"],
    [["0.0.0.0/0", "::/0"], "unix", false, "all addresses are not all clients"],
    [["10.0.0.0/8", "10.1.0.0/16"], "10.1.2.3", true, "one within the other"],
    [["10.0.0.0/8", "10.1.0.0/16"], "10.2.0.0", true, "the wider one holds"],
    [["10.0.0.0/9", "10.128.0.0/9"], "10.200.0.0", true, "side by side"],
    [["128.0.0.0/1", "0.0.0.0/32"], "255.255.255.255", true, "a half, and a single one"],
    [["128.0.0.0/1", "0.0.0.0/32"], "127.255.255.255", false, "neither"],
  ];
  for (const [deny, ip, want, why] of cases) {
    it(`${ip} and ${deny.join(", ")}: ${why}`, () => equal(find(guardsOf([{ deny }]), ip) !== NONE, want));
  }

  it("says what comparing every entry says, whatever they are", () => {
    fc.assert(
      fc.property(
        fc.array(prefix, { minLength: 1, maxLength: 40 }),
        fc.array(address, { minLength: 1, maxLength: 30 }),
        fc.boolean(),
        (deny, ips, inFile) => {
          const guards = inFile
            ? guardsOf([{ deny: ["file:/list", deny[0]] }], { "/list": deny.slice(1).join("\n") })
            : guardsOf([{ deny }]);
          checkGuards(guards);
          const edges = deny.flatMap((one) => one === "unix" ? [] : [one.split("/")[0]]);
          for (const ip of [...ips, ...edges]) {
            equal(find(guards, ip) !== NONE, deny.some((one) => isIn(ip, one)), `${ip} in ${deny.join(" ")}`);
          }
        },
      ),
      { seed: SEED, numRuns: 400 },
    );
  });

  it("names an entry that has the address, with its file and line", () => {
    const files = {
      "/one": "# none\n10.0.0.0/8\n",
      "/two": "\n\n2001:db8::/32 # documentation\r\n192.0.2.1\n",
    };
    const guards = guardsOf([{ deny: ["file:/one", "172.16.0.0/12", "file:/two"] }], files);
    const told = (ip: string): number[] => {
      const entry = find(guards, ip);
      return [EntryAt.Bits, EntryAt.File, EntryAt.Line].map((at) => guards.entry[entry * ENTRY_WORDS + at]);
    };
    deepEqual(told("10.1.2.3"), [8, 1, 2]);
    deepEqual(told("172.16.0.1"), [12, 0, 0]);
    deepEqual(told("2001:db8::1"), [32, 2, 3]);
    deepEqual(told("192.0.2.1"), [32, 2, 4]);
  });

  it("lists of listeners are their own", () => {
    const guards = guardsOf([{ deny: "10.0.0.1" }, { allow: ["10.0.0.2", "::2"] }, {}]);
    checkGuards(guards);
    deepEqual([...guards.listenerGuard], [0, 1, 2, 0]);
    equal(listFind(guards, guards.guardDeny[2], recordOf("10.0.0.1"), 0), NONE, "it has no deny");
    ok(listFind(guards, guards.guardAllow[2], recordOf("10.0.0.2"), 0) !== NONE);
    equal(listFind(guards, guards.guardAllow[2], recordOf("10.0.0.1"), 0), NONE);
  });

  it("a hundred thousand entries take little memory, and few steps to each address", () => {
    let state = 1;
    const next = (): number => state = Math.imul(state, 1_664_525) + 1_013_904_223 >>> 0;
    const deny = Array.from(
      { length: 100_000 },
      (_, nth) =>
        nth % 2 === 0
          ? prefix4(next(), 16 + nth % 17)
          : prefix6([0x20010000 | next() >>> 16, next(), next(), next()], 32 + nth % 97),
    );
    const guards = guardsOf([{ deny: "file:/list" }], { "/list": deny.join("\n") });
    checkGuards(guards);
    ok(guards.sizes.nodeWords / NODE_WORDS < 400_000, `${guards.sizes.nodeWords / NODE_WORDS} nodes`);
    let deepest = 0;
    for (let nth = 0; nth < 20_000; nth++) {
      const prefix = deny[nth * 5], ip = prefix.split("/")[0];
      ok(find(guards, ip) !== NONE, prefix);
      deepest = Math.max(deepest, stepsTo(guards, ip));
    }
    ok(deepest <= 12, `${deepest} nodes in a row`);
  });
});

/** Nodes that are looked at on the way to an address. */
function stepsTo(guards: Guards, ip: string): number {
  const bits = bitsOf(ip), list = guards.guardDeny[1];
  let node = bits.length === 32 ? guards.listRoot4[list] : guards.listRoot6[list], steps = 1;
  const whatOf = (at: number): number => guards.node[at * NODE_WORDS];
  for (let what = whatOf(node); what > 0; what = whatOf(node), steps++) {
    const from = what & 0xff;
    node = guards.node[node * NODE_WORDS + 1] + parseInt(bits.slice(from, from + (what >> 8)), 2);
  }
  return steps;
}
