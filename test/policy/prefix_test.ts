import { strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { readCidr } from "../../src/control/config/cidr.ts";
import { TRUSTED_BYTES } from "../../src/plan/plan.ts";
import { isIn } from "../../src/policy/prefix.ts";
import { Random } from "../sim/random.ts";
import { clientOf } from "./routing_fixture.ts";

const AT = 11;

/** A prefix as a Plan's arena has it, between other bytes. */
function arenaOf(family: number, bits: number, ip: Uint8Array): Uint8Array {
  const arena = new Uint8Array(AT + TRUSTED_BYTES + 8).fill(0xaa);
  arena.fill(0, AT, AT + TRUSTED_BYTES);
  arena.set([family, bits], AT);
  arena.set(ip, AT + 4);
  return arena;
}

function isInText(prefix: string, from: string): boolean {
  const reading = readCidr(prefix);
  if (!reading.ok) throw new Error(reading.what);
  const { family, bits, ip } = reading.value, { client, clientAt } = clientOf(from);
  return isIn(arenaOf(family, bits, ip), AT, client, clientAt);
}

describe("isIn", () => {
  const cases: [prefix: string, client: string, want: boolean, why: string][] = [
    ["10.0.0.0/8", "10.255.255.255", true, "the last one"],
    ["10.0.0.0/8", "11.0.0.0", false, "the one behind it"],
    ["10.0.0.0/8", "9.255.255.255", false, "the one before it"],
    ["0.0.0.0/0", "255.255.255.255", true, "/0 is all of IPv4"],
    ["0.0.0.0/0", "mapped:192.0.2.1", true, "in whatever clothes"],
    ["0.0.0.0/0", "::1", false, "and nothing else"],
    ["::/0", "2001:db8::1", true, "/0 is all of IPv6"],
    ["::/0", "192.0.2.1", false, "and nothing else"],
    ["::/0", "mapped:192.0.2.1", false, "a mapped address is IPv4"],
    ["192.0.2.1/32", "192.0.2.1", true, "/32 is itself"],
    ["192.0.2.1/32", "192.0.2.0", false, "the last bit counts"],
    ["192.0.2.1/32", "mapped:192.0.2.1", true, "mapped"],
    ["192.0.2.1/32", "mapped:192.0.2.3", false, "mapped, another one"],
    ["::ffff:10.0.0.0/104", "10.1.2.3", true, "a mapped prefix is IPv4's"],
    ["2001:db8::1/128", "2001:db8::1", true, "/128 is itself"],
    ["2001:db8::1/128", "2001:db8::", false, "the last bit counts"],
    ["192.0.2.128/25", "192.0.2.128", true, "an odd length, the first one"],
    ["192.0.2.128/25", "192.0.2.127", false, "an odd length, the one before"],
    ["192.0.2.4/31", "192.0.2.5", true, "two addresses"],
    ["192.0.2.4/31", "192.0.2.6", false, "the third"],
    ["128.0.0.0/1", "255.0.0.1", true, "the upper half"],
    ["128.0.0.0/1", "127.255.255.255", false, "the lower half"],
    ["2001:db8:8000::/33", "2001:db8:ffff::1", true, "an odd length of IPv6"],
    ["2001:db8:8000::/33", "2001:db8:7fff::1", false, "an odd length of IPv6, before it"],
    ["fe80::/10", "febf::1", true, "link-local"],
    ["fe80::/10", "fec0::1", false, "behind link-local"],
    ["2001:db8::8/125", "2001:db8::f", true, "within the last byte"],
    ["2001:db8::8/125", "2001:db8::10", false, "behind it"],
    ["::/96", "::7f00:1", true, "IPv4-compatible addresses are IPv6"],
    ["0.0.0.0/0", "unix", false, "a unix socket's is in none"],
    ["::/0", "unix", false, "a unix socket's is in none"],
  ];
  for (const [prefix, client, want, why] of cases) {
    it(`${client} in ${prefix}: ${why}`, () => strictEqual(isInText(prefix, client), want));
  }
});

/** What it means, in one line. */
function isInNumber(prefix: bigint, bits: number, ip: bigint, width: number): boolean {
  return (prefix ^ ip) >> BigInt(width - bits) === 0n;
}

const numberOf = (bytes: Uint8Array): bigint => bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);

/** The same address but for one bit, or none, or another address. */
function near(random: Random, ip: Uint8Array): Uint8Array {
  if (random.oneIn(4)) return ip.map(() => random.below(256));
  const other = ip.slice(), bit = random.below(8 * ip.length + 1);
  if (bit < 8 * ip.length) other[bit >> 3] ^= 0x80 >> (bit & 7);
  return other;
}

it("isIn compares as numbers do, for addresses that differ in one bit or in many", () => {
  let inside = 0;
  const random = new Random(1), rounds = 20_000;
  for (let round = 0; round < rounds; round++) {
    const width = random.pick([32, 128]), bits = random.below(width + 1);
    const prefix = new Uint8Array(width / 8).map(() => random.below(256));
    prefix[0] |= 1; // no prefix of mapped addresses, which count as IPv4
    const ip = near(random, prefix), isMapped = width === 32 && random.oneIn(2);
    const record = new Uint8Array(40).fill(0xee), from = random.below(16);
    record.fill(0, from + 1, from + 24);
    record[from] = width === 32 && !isMapped ? 4 : 6;
    if (isMapped) record.fill(0xff, from + 14, from + 16);
    record.set(ip, isMapped ? from + 16 : from + 4);
    const want = isInNumber(numberOf(prefix), bits, numberOf(ip), width);
    const got = isIn(arenaOf(width === 32 ? 4 : 6, bits, prefix), AT, record, from);
    strictEqual(got, want, `round ${round}: ${[...ip]} in ${[...prefix]}/${bits}`);
    if (got) inside++;
  }
  strictEqual(inside > rounds / 5 && inside < (4 * rounds) / 5, true, `${inside} of ${rounds} are inside`);
});
