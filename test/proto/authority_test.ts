import { strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { hostEnd, hostLiteral, isIp4, isIp6, portAt, readAuthority } from "../../src/proto/authority.ts";
import { ascii } from "../../src/proto/octet.ts";
import { Refusal } from "../../src/proto/refusal.ts";

describe("readAuthority", () => {
  const cases: [text: string, host: string, port: string | null, literal: boolean, why: string][] = [
    ["", "", null, false, "nothing"],
    ["a", "a", null, false, "a name"],
    ["a:", "a", "", false, "an empty port"],
    ["a:0", "a", "0", false, "port 0"],
    ["a:65535", "a", "65535", false, "the highest port"],
    ["a:00080", "a", "00080", false, "five digits"],
    ["1.2.3.4:5", "1.2.3.4", "5", true, "IPv4"],
    ["[::]:5", "[::]", "5", true, "IPv6"],
    ["a!$&'()*+,;=~_-.b", "a!$&'()*+,;=~_-.b", null, false, "RFC 3986 3.2.2: all of a reg-name"],
  ];
  for (const [text, host, port, literal, why] of cases) {
    it(`takes ${why}`, () => {
      const bytes = ascii(`xx${text}yy`), end = 2 + text.length;
      strictEqual(readAuthority(bytes, 2, end), 0);
      strictEqual(text.slice(0, hostEnd - 2), host);
      strictEqual(portAt > end ? null : text.slice(portAt - 2), port);
      strictEqual(hostLiteral, literal);
    });
  }

  const refused: [text: string, want: Refusal, why: string][] = [
    [":80", Refusal.BadHost, "a port alone"],
    ["a b", Refusal.BadHost, "a space"],
    ["a%41", Refusal.BadHost, "percent-encoding"],
    ["a\\b", Refusal.BadHost, "a backslash"],
    ["[]", Refusal.BadHost, "empty brackets"],
    ["[1.2.3.4]", Refusal.BadHost, "IPv4 in brackets"],
    ["::1", Refusal.BadHost, "IPv6 without brackets"],
    ["a[::1]", Refusal.BadHost, "a name before the brackets"],
    ["a:b", Refusal.BadPort, "a name for a port"],
    ["a:1:2", Refusal.BadPort, "two ports"],
    ["a:65536", Refusal.BadPort, "2^16"],
    ["a:99999999999999999999", Refusal.BadPort, "many digits"],
    ["b@a", Refusal.UserInfo, "a user"],
    ["b:1@a", Refusal.UserInfo, "a user with a password of digits"],
    ["b:@a", Refusal.UserInfo, "a user with an empty password"],
  ];
  for (const [text, want, why] of refused) {
    it(`refuses ${why}`, () => strictEqual(readAuthority(ascii(text), 0, text.length), -want));
  }
});

describe("isIp4", () => {
  const cases: [text: string, want: boolean, why: string][] = [
    ["0.0.0.0", true, "zeros"],
    ["255.255.255.255", true, "the highest"],
    ["256.0.0.0", false, "a part above 255"],
    ["1.2.3", false, "three parts"],
    ["1.2.3.4.5", false, "five"],
    ["1.2.3.", false, "an empty part"],
    ["1..2.3", false, "an empty part within"],
    ["01.2.3.4", false, "octal to some"],
    ["0x1.2.3.4", false, "hexadecimal"],
    ["1.2.3.4a", false, "something behind it"],
    ["1.2.3.0004", false, "four digits"],
    ["", false, "nothing"],
  ];
  for (const [text, want, why] of cases) {
    it(why, () => strictEqual(isIp4(ascii(text), 0, text.length), want));
  }
});

describe("isIp6", () => {
  const cases: [text: string, want: boolean, why: string][] = [
    ["::", true, "all zeros"],
    ["::1", true, "a gap first"],
    ["1::", true, "a gap last"],
    ["1::2", true, "a gap within"],
    ["1:2:3:4:5:6:7:8", true, "eight groups"],
    ["1:2:3:4:5:6:7::", true, "seven and a gap"],
    ["::2:3:4:5:6:7:8", true, "a gap and seven"],
    ["ABCD:ef01::", true, "digits of either case"],
    ["::1.2.3.4", true, "IPv4 at the end"],
    ["1:2:3:4:5:6:1.2.3.4", true, "six groups and IPv4"],
    ["", false, "nothing"],
    [":", false, "one colon"],
    [":1", false, "one colon first"],
    ["1:", false, "one colon last"],
    [":::", false, "three colons"],
    ["1::2::3", false, "two gaps"],
    ["1:2:3:4:5:6:7", false, "seven groups"],
    ["1:2:3:4:5:6:7:8:9", false, "nine groups"],
    ["1:2:3:4::5:6:7:8", false, "a gap of nothing"],
    ["12345::", false, "five digits"],
    ["g::", false, "not a digit"],
    ["1:2:3:4:5:6:7:1.2.3.4", false, "seven groups and IPv4"],
    ["::1.2.3", false, "half an IPv4"],
    ["::1.2.3.4:5", false, "something behind the IPv4"],
    ["fe80::1%eth0", false, "a zone"],
  ];
  for (const [text, want, why] of cases) {
    it(why, () => strictEqual(isIp6(ascii(text), 0, text.length), want));
  }
});
