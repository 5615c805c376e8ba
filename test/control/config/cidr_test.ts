import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { readCidr } from "../../../src/control/config/cidr.ts";

test("readCidr", () => {
  const cases: [text: string, want: string, why: string][] = [
    ["10.0.0.0/8", "10.0.0.0/8", "IPv4"],
    ["192.0.2.1", "192.0.2.1/32", "one address"],
    ["0.0.0.0/0", "0.0.0.0/0", "all of IPv4"],
    ["192.0.2.129/25", "192.0.2.129/25 has bits behind its prefix", "within a byte"],
    ["192.0.2.128/25", "192.0.2.128/25", "within a byte"],
    ["10.0.0.1/8", "10.0.0.1/8 has bits behind its prefix", "a slip in one or the other"],
    ["2001:DB8::/32", "2001:db8::/32", "IPv6, canonical"],
    ["::1", "::1/128", "one address"],
    ["::/0", "::/0", "all of IPv6"],
    ["2001:db8::1/64", "2001:db8::1/64 has bits behind its prefix", "host bits"],
    ["::ffff:10.0.0.0/104", "10.0.0.0/8", "mapped addresses count as IPv4"],
    ["::ffff:10.0.0.1", "10.0.0.1/32", "one mapped address"],
    ["::ffff:0.0.0.0/95", '"::ffff:0.0.0.0/95" is wider than the mapped IPv4 addresses', "neither family"],
    ["10.0.0.0/33", '"10.0.0.0/33" has no length of 0 to 32 behind the slash', "too long"],
    ["::/129", '"::/129" has no length of 0 to 128 behind the slash', "too long"],
    ["10.0.0.0/08", '"10.0.0.0/08" has no length of 0 to 32 behind the slash', "a leading zero"],
    ["10.0.0.0/", '"10.0.0.0/" has no length of 0 to 32 behind the slash', "no length"],
    ["10.0.0.0/8/8", '"10.0.0.0/8/8" is no prefix of IP addresses', "two lengths"],
    ["10.0.0/8", '"10.0.0/8" is no prefix of IP addresses', "three numbers"],
    ["fe80::1%eth0", '"fe80::1%eth0" is no prefix of IP addresses', "a scope"],
    ["shop.example", '"shop.example" is no prefix of IP addresses', "a name"],
    ["", '"" is no prefix of IP addresses', "empty"],
    ["1".repeat(1_000_000), `"${"1".repeat(72)}..." is no prefix of IP addresses`, "huge"],
  ];
  for (const [text, want, why] of cases) {
    const reading = readCidr(text);
    equal(reading.ok ? reading.value.text : reading.what, want, `${why}: ${text.slice(0, 40)}`);
    ok(reading.ok || reading.remedy.length > 0, why);
  }
  const slip = readCidr("10.1.2.3/8");
  equal(slip.ok ? "" : slip.remedy, "write 10.0.0.0/8 or 10.1.2.3");
});

test("a prefix has the bytes of its family", () => {
  const v4 = readCidr("192.0.2.128/25"), v6 = readCidr("2001:db8::/32");
  ok(v4.ok && v6.ok);
  deepEqual([v4.value.family, v4.value.bits, [...v4.value.ip]], [4, 25, [192, 0, 2, 128]]);
  deepEqual([v6.value.family, v6.value.bits, [...v6.value.ip].slice(0, 5)], [6, 32, [
    0x20,
    1,
    0x0d,
    0xb8,
    0,
  ]]);
  equal(v6.value.ip.length, 16);
});

test("an address alone is a prefix of all its bits, and what it says is read again", () => {
  fc.assert(fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (ip) => {
    const reading = readCidr(ip);
    ok(reading.ok, ip);
    equal(reading.value.bits, reading.value.ip.length * 8);
    deepEqual(readCidr(reading.value.text), reading);
  }));
});
