import { deepEqual, equal, ok, throws } from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { test } from "node:test";
import fc from "fast-check";
import {
  addressText,
  authorityOf,
  encodeAddress,
  formatAddress,
  ipAddress,
  isLoopback,
  isWildcard,
  type LiteralAddress,
  readTarget,
  splitTargets,
  type Target,
} from "../../../src/control/config/address.ts";
import { readListen, splitHttpListen, splitListenTargets } from "../../../src/control/config/listen.ts";

const PATH_107 = "/" + "p".repeat(106);
const LABEL_63 = "l".repeat(63);

test("splitListenTargets cuts at the first = that is not part of ?protocol=", () => {
  const cases: [text: string, want: string, why: string][] = [
    ["tcp://:1=a:1", "tcp://:1|a:1", "the plain case"],
    ["unix:/s?protocol=tcp=a:1", "unix:/s?protocol=tcp|a:1", "?protocol= belongs to LISTEN"],
    ["unix:/s=unix:/t", "unix:/s|unix:/t", "unix at both ends"],
    ["tcp://:1=a:1=b:2", "tcp://:1|a:1=b:2", "a later = is the target's trouble"],
    ["tcp://:1=unix:/s?protocol=tcp", "tcp://:1|unix:/s?protocol=tcp", "only the first counts"],
    ["tcp://:1", "no TARGETS", "no ="],
    ["unix:/s?protocol=tcp", "no TARGETS", "its only = is part of LISTEN"],
    ["tcp://:1=", "no TARGETS after the =", "nothing after"],
    ["=a:1", "no LISTEN before the =", "nothing before"],
    ["=", "no LISTEN before the =", "nothing at all"],
    ["", "no TARGETS", "empty"],
  ];
  for (const [text, want, why] of cases) {
    const reading = splitListenTargets(text);
    equal(reading.ok ? `${reading.value.listen}|${reading.value.targets}` : reading.what, want, why);
  }
});

test("splitTargets", () => {
  const cases: [text: string, want: string, why: string][] = [
    ["a:1", "a:1", "one"],
    ["a:1,[::1]:2,unix:/s", "a:1|[::1]:2|unix:/s", "many"],
    ["", "no targets", "empty list"],
    ["a:1,", "a comma with no target beside it", "trailing comma"],
    [",a:1", "a comma with no target beside it", "leading comma"],
    ["a:1,,b:1", "a comma with no target beside it", "two commas"],
    [",", "a comma with no target beside it", "a comma alone"],
  ];
  for (const [text, want, why] of cases) {
    const reading = splitTargets(text);
    equal(reading.ok ? reading.value.join("|") : reading.what, want, why);
  }
});

test("readListen", () => {
  const cases: [text: string, want: string, why: string][] = [
    ["tcp://:9000", "[::]:9000", "all addresses, both families"],
    ["tcp://[::]:9000", "[::]:9000", "the same, spelled out"],
    ["tcp://0.0.0.0:9000", "0.0.0.0:9000", "IPv4 alone"],
    ["tcp://127.0.0.1:9000", "127.0.0.1:9000", "IPv4"],
    ["tcp://[::1]:9000", "[::1]:9000", "IPv6"],
    ["tcp://[FE80:0::1%eth0]:80", "[fe80::1%eth0]:80", "scope by name; canonical form"],
    ["tcp://[fe80::1%2]:80", "[fe80::1%2]:80", "scope by number"],
    ["tcp://[::ffff:10.0.0.1]:80", "10.0.0.1:80", "a mapped address counts as IPv4"],
    ["tcp://localhost:9000", "127.0.0.1:9000", "localhost is an address"],
    ["tcp://LOCALHOST:9000", "127.0.0.1:9000", "in any case"],
    ["tcp://Proxy.Example:9000", "proxy.example:9000", "a name, resolved when opened"],
    ["tcp://:0", "[::]:0", "the kernel chooses"],
    ["tcp://:65535", "[::]:65535", "the last port"],
    ["unix:/run/a.sock", "unix:/run/a.sock", "tcp is the default"],
    ["unix:/run/a.sock?protocol=tcp", "unix:/run/a.sock", "said aloud"],
    ["unix:run/a.sock", "unix:run/a.sock", "relative to the working directory"],
    ["unix:/größe.sock", "unix:/größe.sock", "paths are UTF-8"],
    [`unix:${PATH_107}`, `unix:${PATH_107}`, "as long as sun_path takes"],
    [`unix:${PATH_107}p`, "a path of 108 bytes", "too long for sun_path"],
    [`unix:/${"ü".repeat(54)}`, "a path of 109 bytes", "bytes count, not characters"],
    ["unix:", "unix: without a path", "no path"],
    ["unix:?protocol=tcp", "unix: without a path", "no path before ?"],
    ["unix:/run/", '"/run/" is a directory', "no socket"],
    ["unix:@name", "abstract unix sockets are not supported in this version", "abstract"],
    ["unix:/a\0b", '"unix:/a\\x00b" holds a control character', "NUL"],
    ["unix:/a;b", '"/a;b" holds one of , ; ?', "a target could not name it"],
    ["unix:/a?protocol=udp", "datagrams by a unix socket are not supported in this version", "known, later"],
    ["unix:/a?protocol=toString", 'unknown protocol "toString"', "no property of Object"],
    ["unix:/a?protocol=ftp", 'unknown protocol "ftp"', "unknown"],
    ["unix:/a?protocol=", 'unknown protocol ""', "empty"],
    ["unix:/a?mode=0600", 'unknown option "mode=0600"', "unknown option"],
    ["unix:/a?protocol=tcp?x", "more than one ?", "two queries"],
    ["unix:/a?protocol=tcp=x", 'unknown option "protocol=tcp=x"', "two values"],
    ["udp://:53/x", '"/x" after the port', "no path"],
    ["toString://:443", 'unknown scheme "toString"', "no property of Object"],
    ["tpc://:80", 'unknown scheme "tpc"', "a slip"],
    ["TCP://:80", 'unknown scheme "TCP"', "schemes are lower case"],
    ["://:80", 'unknown scheme ""', "empty scheme"],
    [":9000", '":9000" has no scheme', "no scheme"],
    ["9000", '"9000" has no scheme', "a port alone"],
    ["127.0.0.1:9000", '"127.0.0.1:9000" has no scheme', "no scheme"],
    ["tcp:/:9000", '"tcp:/:9000" has no scheme', "one slash"],
    ["tcp://", '"" has no port', "nothing after the scheme"],
    ["tcp://9000", '"9000" is a port without a host', "the colon is missing"],
    ["tcp://127.0.0.1", '"127.0.0.1" has no port', "missing port"],
    ["tcp://127.0.0.1:", '"127.0.0.1:" has no port after the colon', "empty port"],
    ["tcp://:", '":" has no port after the colon', "a colon alone"],
    ["tcp://:65536", 'port "65536" is out of range', "one too many"],
    ["tcp://:99999999999999999999", 'port "99999999999999999999" is out of range', "far too many"],
    ["tcp://:-1", '"-1" is no port', "negative"],
    ["tcp://:080", 'port "080" begins with 0', "octal or decimal?"],
    ["tcp://:0x50", '"0x50" is no port', "hexadecimal"],
    ["tcp://:http", '"http" is no port', "service names are not read"],
    ["tcp://:80/", '"/" after the port', "a path"],
    ["tcp://:80?x=1", '"?x=1" after the port', "a query"],
    ["tcp://::1:80", '"::1:80" is an IPv6 address without brackets', "brackets missing"],
    ["tcp://[::1]", '"[::1]" has no port', "missing port"],
    ["tcp://[::1]80", '"[::1]80" has no port', "colon missing"],
    ["tcp://[::1", '"[::1" has an unmatched bracket', "closing bracket missing"],
    ["tcp://[]:80", '"" is no IPv6 address', "nothing in the brackets"],
    ["tcp://[127.0.0.1]:80", '"127.0.0.1" is no IPv6 address', "IPv4 in brackets"],
    ["tcp://[:::1]:80", '":::1" is no IPv6 address', "three colons"],
    ["tcp://[1:2:3:4:5:6:7:8:9]:80", '"1:2:3:4:5:6:7:8:9" is no IPv6 address', "nine groups"],
    ["tcp://[fe80::1%]:80", '"" is no scope', "empty scope"],
    ["tcp://[fe80::1%0]:80", '"0" is no scope', "interface 0 is none"],
    ["tcp://[fe80::1%a/b]:80", '"/b]:80" after the port', "a slash is no part of a scope"],
    ["tcp://[::ffff:1.2.3.4%1]:80", "an IPv4 address takes no scope", "mapped with scope"],
    ["tcp://user@host:80", '"user@host" is no host name', "no user"],
    ["tcp:// :80", '"tcp:// :80" holds whitespace', "whitespace"],
    [" tcp://:80", '" tcp://:80" holds whitespace', "leading space"],
    ["tcp://:80\n", '"tcp://:80\\n" holds whitespace', "a line end"],
    ["tcp://:80\x1b[2J", '"tcp://:80\\x1B[2J" holds a control character', "an escape sequence"],
    ["tcp://\u202e:80", '"tcp://\\u{202E}:80" holds a control character', "a bidirectional override"],
    ["tcp://\ud800:80", '"tcp://\\u{D800}:80" holds a control character', "a lone surrogate"],
    ["", "empty", "empty"],
    ["tcp://" + "a".repeat(1_000_000) + ":80", "an address of 1000009 characters", "huge"],
  ];
  for (const [text, want, why] of cases) {
    const reading = readListen(text);
    equal(
      reading.ok ? addressText(reading.value.address) : reading.what,
      want,
      `${why}: ${text.slice(0, 80)}`,
    );
    if (reading.ok) {
      const { text: written, protocol, tls } = reading.value;
      deepEqual([written, protocol, tls], [text, "tcp", false], why);
    } else ok(reading.remedy.length > 0, why);
  }
});

test("readListen for HTTP", () => {
  const cases: [text: string, want: string, why: string][] = [
    ["http://:8080", "[::]:8080", "all addresses, both families"],
    ["http://:8080/", "[::]:8080", "as pasted from a browser"],
    ["http://127.0.0.1:8080", "127.0.0.1:8080", "IPv4"],
    ["http://[::1]:8080", "[::1]:8080", "IPv6"],
    ["http://localhost:8080", "127.0.0.1:8080", "localhost is an address"],
    ["http://127.0.0.1", "127.0.0.1:80", "the port of HTTP"],
    ["http://[::1]", "[::1]:80", "the port of HTTP"],
    ["unix:/run/a.sock?protocol=http", "unix:/run/a.sock", "unix"],
    ["http://:0", "[::]:0", "the kernel chooses"],
    ["http://", '"" has no port', "nothing after the scheme"],
    ["http://8080", '"8080" is a port without a host', "the colon is missing"],
    ["http://:", '":" has no port after the colon', "a colon alone"],
    ["http://::1", '"::1" is an IPv6 address without a port', "brackets missing"],
    ["http://shop.example:80", '"shop.example" is a name, which is no address to listen on', "for routes"],
    ["http://:80/api/", '"/api/" after the port', "for routes"],
    ["http://:80?x", '"?x" after the port', "a query"],
    ["http://:65536", 'port "65536" is out of range', "one too many"],
    ["HTTP://:80", 'unknown scheme "HTTP"', "schemes are lower case"],
  ];
  for (const [text, want, why] of cases) {
    const reading = readListen(text);
    equal(reading.ok ? addressText(reading.value.address) : reading.what, want, `${why}: ${text}`);
    if (reading.ok) deepEqual([reading.value.text, reading.value.protocol], [text, "http"], why);
    else ok(reading.remedy.length > 0, why);
  }
});

test("readListen for TLS", () => {
  const cases: [text: string, protocol: "tcp" | "http", want: string, why: string][] = [
    ["tls://:6380", "tcp", "[::]:6380", "all addresses, both families"],
    ["tls://127.0.0.1:6380", "tcp", "127.0.0.1:6380", "IPv4"],
    ["tls://db.example:6380", "tcp", "db.example:6380", "a name, as of tcp://"],
    ["https://:8443", "http", "[::]:8443", "all addresses, both families"],
    ["https://127.0.0.1", "http", "127.0.0.1:443", "the port of HTTPS"],
    ["https://[::1]/", "http", "[::1]:443", "as pasted from a browser"],
    ["https://localhost", "http", "127.0.0.1:443", "localhost is an address"],
    ["unix:/run/a.sock?protocol=tls", "tcp", "unix:/run/a.sock", "unix"],
    ["unix:/run/a.sock?protocol=https", "http", "unix:/run/a.sock", "unix"],
    ["tls://:443/", "tcp", '"/" after the port', "a path"],
    ["tls://6380", "tcp", '"6380" is a port without a host', "the colon is missing"],
    ["tls://127.0.0.1", "tcp", '"127.0.0.1" has no port', "TLS has no port of its own"],
    ["https://", "http", '"" has no port', "nothing after the scheme"],
    [
      "https://shop.example",
      "http",
      '"shop.example" is a name, which is no address to listen on',
      "for routes",
    ],
    ["https://:443/api/", "http", '"/api/" after the port', "for routes"],
    ["HTTPS://:443", "http", 'unknown scheme "HTTPS"', "schemes are lower case"],
  ];
  for (const [text, protocol, want, why] of cases) {
    const reading = readListen(text);
    equal(reading.ok ? addressText(reading.value.address) : reading.what, want, `${why}: ${text}`);
    if (reading.ok) deepEqual([reading.value.protocol, reading.value.tls], [protocol, true], why);
    else ok(reading.remedy.length > 0, why);
  }
});

test("splitHttpListen tells where to bind from what to match", () => {
  const cases: [
    text: string,
    bind: string,
    host: string | undefined,
    path: string | undefined,
    why: string,
  ][] = [
    ["http://:8080", "http://:8080", undefined, undefined, "nothing to match"],
    ["http://:8080/", "http://:8080", undefined, undefined, "every path begins with a slash"],
    ["http://:8080/api/", "http://:8080", undefined, "/api/", "a path"],
    ["http://shop.example:8080", "http://:8080", "shop.example", undefined, "a name is a host"],
    ["http://Shop.Example:8080/a", "http://:8080", "Shop.Example", "/a", "both"],
    ["http://*.shop.example:80/", "http://:80", "*.shop.example", undefined, "what is below a name"],
    ["http://shop.example/a", "http://:80", "shop.example", "/a", "the port of HTTP"],
    ["http://shop:80", "http://:80", "shop", undefined, "a short name"],
    ["http://127.0.0.1:80/a", "http://127.0.0.1:80", undefined, "/a", "an address"],
    ["http://[::1]:80/a", "http://[::1]:80", undefined, "/a", "an IPv6 address"],
    ["http://localhost:80/a", "http://localhost:80", undefined, "/a", "localhost is an address"],
    ["http://10.0.0.256:80", "http://10.0.0.256:80", undefined, undefined, "left to be refused"],
    ["http://8080", "http://8080", undefined, undefined, "left to be refused"],
    ["http://a:b:c", "http://a:b:c", undefined, undefined, "left to be refused"],
    ["https://shop.example", "https://:443", "shop.example", undefined, "the port of HTTPS"],
    ["https://shop.example:8443/a", "https://:8443", "shop.example", "/a", "both"],
    ["https://127.0.0.1/a", "https://127.0.0.1", undefined, "/a", "an address"],
    ["tls://a:1", "tls://a:1", undefined, undefined, "not HTTP"],
    ["tcp://a:1/x", "tcp://a:1/x", undefined, undefined, "not HTTP"],
    ["unix:/s?protocol=http", "unix:/s?protocol=http", undefined, undefined, "no host, no path"],
  ];
  for (const [text, bind, host, path, why] of cases) {
    const split = splitHttpListen(text);
    deepEqual([split.bind, split.host, split.path], [bind, host, path], `${why}: ${text}`);
  }
});

/** A target's parts, as they would be written. */
function targetText({ address, tls, base, maxConnections }: Target): string {
  return (tls ? "tls " : "") + addressText(address) + base +
    (maxConnections === 0 ? "" : `;max-connections=${maxConnections}`);
}

test("readTarget", () => {
  const cases: [text: string, want: string, why: string][] = [
    ["10.0.0.1:9001", "10.0.0.1:9001", "IPv4"],
    ["[2001:DB8:0:0::1]:9001", "[2001:db8::1]:9001", "IPv6, canonical"],
    ["[fe80::1%eth0]:80", "[fe80::1%eth0]:80", "scope"],
    ["db.example:5432", "db.example:5432", "a name"],
    ["DB.Example.:5432", "db.example.:5432", "lower case; a closing dot stays"],
    ["_sip-1.a_b:1", "_sip-1.a_b:1", "underscores"],
    ["xn--bcher-kva.example:80", "xn--bcher-kva.example:80", "an international name"],
    ["localhost:80", "localhost:80", "resolved like any name"],
    ["unix:/run/app.sock", "unix:/run/app.sock", "unix"],
    ["unix:app.sock", "unix:app.sock", "relative"],
    [`${LABEL_63}.example:80`, `${LABEL_63}.example:80`, "the longest label"],
    ["10.0.0.1:80;weight=257", 'weight: "257" is too large', "256 at most"],
    ["10.0.0.1:80;weight=-1", 'weight: "-1" is too small', "no sign"],
    ["10.0.0.1:80;weight", 'weight: "" is no whole number', "nothing"],
    ["10.0.0.1:80;weight=2;weight=2", 'option "weight" is given twice', "each once"],
    ["10.0.0.1:80;backup=yes", 'option "backup" takes no value', "it is there, or not"],
    ["unix:/s;backup;backup", 'option "backup" is given twice', "on unix too"],
    ["10.0.0.1:80;wieght=3", 'unknown option "wieght"', "a slip"],
    ["10.0.0.1:80;", 'unknown option ""', "a semicolon too many"],
    ["tcp://10.0.0.1:80", '"tcp://10.0.0.1:80" has a scheme that no target has', "no scheme"],
    ["https://10.0.0.1:8443", "tls 10.0.0.1:8443", "TLS"],
    ["https://a.example", "tls a.example:443", "the port of HTTPS"],
    ["https://a.example/base/", "tls a.example:443/base", "a base path"],
    ["https://a.example;max-connections=5", "tls a.example:443;max-connections=5", "an option"],
    ["tls://a.example:6380", "tls a.example:6380", "TLS without HTTP"],
    ["tls://[::1]:6380", "tls [::1]:6380", "IPv6"],
    ["tls://unix:/run/a.sock", "tls unix:/run/a.sock", "TLS by way of a file"],
    ["tls://a.example", '"a.example" has no port', "TLS has no port of its own"],
    ["tls://a.example:1/base", '"/base" after the port', "no paths without HTTP"],
    ["a:1,b:2", '"a:1,b:2" is more than one server', "a list"],
    ["http://10.0.0.1:3000", "10.0.0.1:3000", "HTTP, said aloud"],
    ["http://10.0.0.1", "10.0.0.1:80", "the port of HTTP"],
    ["http://10.0.0.1:3000/", "10.0.0.1:3000", "no base path"],
    ["http://App.Example:3000/Base/v1/", "app.example:3000/Base/v1", "a base path, without its last slash"],
    ["http://[::1]/b", "[::1]:80/b", "IPv6"],
    ["http://10.0.0.1/a?b", '"?b" after the base path', "a query"],
    ["http://10.0.0.1/ä", '"/ä" is not ASCII', "a path on the wire is"],
    ["http://10.0.0.1:0/", 'port "0" is out of range', "nobody listens on port 0"],
    ["http:///base", '"" has no port', "no host"],
    ["10.0.0.1:80/base", "10.0.0.1:80/base", "a base path needs no scheme"],
    ["10.0.0.1:80;max-connections=500", "10.0.0.1:80;max-connections=500", "an option"],
    ["http://a/b;max-connections=1", "a:80/b;max-connections=1", "behind a path"],
    ["a:1;max-connections=0", 'max-connections: "0" is too small', "none at all"],
    ["a:1;max-connections", 'max-connections: "" is no whole number', "no value"],
    ["a:1;max-connections=1;max-connections=1", 'option "max-connections" is given twice', "twice"],
    ["a:1;max-connections=1;max-connections=2", 'option "max-connections" is given twice', "each once"],
    ["10.0.0.1", '"10.0.0.1" has no port', "missing port"],
    ["10.0.0.1:", '"10.0.0.1:" has no port after the colon', "empty port"],
    ["10.0.0.1:0", 'port "0" is out of range', "nobody listens on port 0"],
    [":9001", '":9001" has no host', "no host"],
    ["9001", '"9001" is a port without a host', "a port alone"],
    ["10.0.0:80", '"10.0.0" is no IPv4 address', "three numbers"],
    ["10.0.0.256:80", '"10.0.0.256" is no IPv4 address', "out of range"],
    ["10.0.0.1.5:80", '"10.0.0.1.5" is no IPv4 address', "five numbers"],
    ["010.0.0.1:80", '"010.0.0.1" is no IPv4 address', "octal or decimal?"],
    ["0x7f.1:80", '"0x7f.1" is no IPv4 address', "inet_aton forms are not read"],
    ["2130706433:80", '"2130706433" is no IPv4 address', "one number"],
    ["0x7f000001:80", '"0x7f000001" is no IPv4 address', "hexadecimal"],
    ["::1:9001", '"::1:9001" is an IPv6 address without brackets', "brackets missing"],
    ["2001:db8::1", '"2001:db8::1" is an IPv6 address without a port', "no port, no brackets"],
    ["1::2:80", '"1::2:80" is an IPv6 address without brackets', "an address and a port, or one address?"],
    ["a:b:c", '"a:b:c" has too many colons', "no address"],
    ["[::1%toolonginterface]:80", '"toolonginterface" is no scope', "names have at most 15 characters"],
    ["[::1%4294967296]:80", '"4294967296" is no scope', "past 32 bits"],
    ["[::1]:80]", '"80]" is no port', "a bracket too many"],
    ["-a.example:80", '"-a.example" is no host name', "a label begins with a hyphen"],
    ["a-.example:80", '"a-.example" is no host name', "a label ends with a hyphen"],
    ["a..example:80", '"a..example" is no host name', "an empty label"],
    [".example:80", '".example" is no host name', "an empty label"],
    [".:80", '"." is no host name', "the root"],
    ["*.example:80", '"*.example" is no host name', "no wildcards"],
    ["a/b:80", '"a/b" is no host name', "no path"],
    ["größe.example:80", '"größe.example:80" is not ASCII', "in its xn-- form only"],
    ["10.0.0.１:80", '"10.0.0.１:80" is not ASCII', "a full-width digit"],
    [`l${LABEL_63}.example:80`, `"l${LABEL_63}.example" is no host name`, "a label too long"],
    [`${"a.".repeat(126)}aa:80`, "a name of 254 characters", "a name too long"],
    ["a b:80", '"a b:80" holds whitespace', "whitespace"],
    ["a:80 ", '"a:80 " holds whitespace', "a trailing space"],
    ["a\0:80", '"a\\x00:80" holds a control character', "NUL"],
    ["", "empty", "empty"],
    ["[".repeat(500), `"${"[".repeat(72)}..." has an unmatched bracket`, "brackets only"],
    ["1.".repeat(1_000_000), "an address of 2000000 characters", "huge"],
  ];
  for (const [text, want, why] of cases) {
    const reading = readTarget(text);
    equal(reading.ok ? targetText(reading.value) : reading.what, want, `${why}: ${text.slice(0, 80)}`);
    ok(reading.ok || reading.remedy.length > 0, why);
  }
});

test("the remedies of common mistakes can be copied", () => {
  const cases: [text: string, want: string, why: string][] = [
    ["9001", "write 127.0.0.1:9001", "a port alone"],
    ["10.0.0.1", "write 10.0.0.1:PORT", "missing port"],
    ["::1:9001", "write [::1]:9001", "brackets missing"],
    ["tcp://10.0.0.1:80", "write 10.0.0.1:80", "a scheme"],
    ["10.0.0.1:80;weigth=2", 'did you mean "weight"?', "a slip"],
    ["https://a.example/b?x", "write https://a.example/b", "the scheme stays"],
    ["tls://a.example:1/b", "write tls://a.example:1", "the scheme stays"],
    ["a:1,b:2", "write [a:1, b:2]", "a list in one text"],
  ];
  for (const [text, want, why] of cases) {
    const reading = readTarget(text);
    equal(reading.ok ? "" : reading.remedy, want, why);
  }
  const name = readListen("http://shop.example:8080");
  equal(name.ok ? "" : name.remedy, "write http://:8080 and match the host in a route");
  const listens: [text: string, want: string, why: string][] = [
    [":9000", "write http://:9000 or tcp://:9000", "no scheme"],
    ["9000", "write http://:9000 or tcp://:9000", "a port alone"],
    ["[::1]:9000", "write http://[::1]:9000 or tcp://[::1]:9000", "an address"],
    ["db.example:9000", "write tcp://db.example:9000", "http:// takes no name"],
    [":443", "write https://:443 or tls://:443", "the port of HTTPS"],
    ["https:/:8443", "write https://:8443", "one slash"],
    ["https://shop.example", "write https://:443 and match the host in a route", "a name"],
    ["localhost", "write http://:PORT or tcp://:PORT", "no port"],
    ["99999", "write http://:PORT or tcp://:PORT", "no port that there is"],
  ];
  for (const [text, want, why] of listens) {
    const reading = readListen(text);
    equal(reading.ok ? "" : reading.remedy, want, why);
  }
});

test("authorityOf is what Host says", () => {
  const cases: [target: string, want: string, why: string][] = [
    ["10.0.0.1:3000", "10.0.0.1:3000", "IPv4"],
    ["10.0.0.1:80", "10.0.0.1", "the port of HTTP goes without saying"],
    ["[2001:db8::1]:8080", "[2001:db8::1]:8080", "IPv6"],
    ["[fe80::1%eth0]:80", "[fe80::1]", "a scope is this machine's own"],
    ["app.example.:8080", "app.example:8080", "no dot at the end"],
    ["unix:/run/app", "localhost", "unix"],
    ["https://app.example", "app.example", "the port of HTTPS goes without saying"],
    ["https://app.example:80", "app.example:80", "that of HTTP does not"],
    ["http://app.example:443", "app.example:443", "nor the other way round"],
  ];
  for (const [text, want, why] of cases) {
    const target = readTarget(text);
    equal(target.ok ? authorityOf(target.value.address, target.value.tls) : target.what, want, why);
  }
});

test("encodeAddress lays out the record that C reads", () => {
  const record = (address: LiteralAddress | undefined): number[] => {
    ok(address);
    const bytes = encodeAddress(address);
    equal(bytes.length, 112);
    return Array.from(bytes);
  };
  const padded = (...bytes: number[]): number[] => [...bytes, ...Array<number>(112 - bytes.length).fill(0)];
  deepEqual(record(ipAddress("10.0.0.1", 8080)), padded(4, 0, 0x1f, 0x90, 10, 0, 0, 1), "IPv4");
  const v6 = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
  deepEqual(record(ipAddress("2001:db8::1", 1)), padded(6, 0, 0, 1, ...v6), "IPv6");
  const linkLocal = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
  deepEqual(
    record(ipAddress("fe80::1%258", 1)),
    padded(6, 0, 0, 1, ...linkLocal, 2, 1),
    "scope, little endian",
  );
  deepEqual(record({ kind: "unix", path: "/ü" }), padded(1, 3, 0, 0, 0x2f, 0xc3, 0xbc), "unix path in UTF-8");
  equal(record({ kind: "unix", path: PATH_107 })[111], 0, "the longest path leaves a NUL");
  throws(() => encodeAddress({ kind: "unix", path: PATH_107 + "p" }), /longer than 107/);
  throws(
    () => encodeAddress({ kind: "ip", family: 6, ip: "fe80::1", scope: "no-such-if", port: 1 }),
    /no-such-if/,
  );
});

test("encodeAddress resolves the name of an interface", () => {
  for (const [name, entries] of Object.entries(networkInterfaces())) {
    const linkLocal = entries?.find((entry) => entry.family === "IPv6" && entry.scopeid);
    if (linkLocal === undefined || linkLocal.family !== "IPv6") continue;
    const bytes = encodeAddress({ kind: "ip", family: 6, ip: "fe80::1", scope: name, port: 80 });
    equal(formatAddress(bytes, 0), `[fe80::1%${linkLocal.scopeid}]:80`);
  }
});

test("formatAddress", () => {
  const mapped = new Uint8Array(112);
  mapped.set([6, 0, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1]);
  equal(formatAddress(mapped, 0), "10.0.0.1:80", "mapped prints as IPv4");
  equal(formatAddress(new Uint8Array(112), 0), "unknown", "family 0");
  equal(
    formatAddress(Uint8Array.from([9, ...Array<number>(111).fill(1)]), 0),
    "unknown",
    "no family of ours",
  );
  equal(
    formatAddress(encodeAddress({ kind: "unix", path: "/a\nb" }), 0),
    "unix:/a\\nb",
    "a peer's path cannot break a log line",
  );
  const nameless = new Uint8Array(24);
  nameless[0] = 1;
  equal(formatAddress(nameless, 0), "unix:", "a unix client without a name, in a short record");
  const table = new Uint8Array(new SharedArrayBuffer(48));
  table.set([4, 0, 0, 80, 10, 0, 0, 2], 24);
  equal(formatAddress(table, 24), "10.0.0.2:80", "a row of a shared table");
});

test("formatAddress and readTarget are each other's inverse", () => {
  const port = fc.integer({ min: 1, max: 65_535 });
  const v4 = fc.tuple(fc.ipV4(), port).map(([ip, port]) => ipAddress(ip, port));
  const scope = fc.oneof(fc.constant(""), fc.integer({ min: 1, max: 0xffff_ffff }).map(String));
  const v6 = fc.tuple(fc.ipV6(), port, scope).map(([ip, port, scope]) =>
    ipAddress(scope ? `${ip}%${scope}` : ip, port)
  );
  const path = fc.stringMatching(/^[a-zA-Z0-9_./äöü -]{1,50}$/).filter((path) => !/\s|\/$/.test(path));
  const unix = path.map((path): LiteralAddress => ({ kind: "unix", path }));
  fc.assert(
    fc.property(fc.oneof(v4, v6, unix), fc.integer({ min: 0, max: 64 }), (address, from) => {
      ok(address);
      const bytes = new Uint8Array(from + 112);
      bytes.set(encodeAddress(address), from);
      const text = formatAddress(bytes, from);
      equal(text, addressText(address));
      deepEqual(readTarget(text), {
        ok: true,
        value: { address, tls: false, base: "", maxConnections: 0, weight: 1, backup: false },
      });
    }),
    { numRuns: 500 },
  );
});

test("no text makes a reader throw, and what is refused is told without control characters", () => {
  const near = fc.array(
    fc.constantFrom("tcp://", "unix:", "[", "]", ":", "::", "%", ";", "=", "1", "65536", "a", ".", "\0", "ü"),
  )
    .map((parts) => parts.join(""));
  fc.assert(fc.property(fc.oneof(fc.string({ unit: "binary" }), near), (text) => {
    for (
      const reading of [readListen(text), readTarget(text), splitListenTargets(text), splitTargets(text)]
    ) {
      if (!reading.ok) {
        ok(!/[\x00-\x1f\x7f-\x9f]/.test(reading.what + reading.remedy), JSON.stringify(reading));
      }
    }
  }));
});

test("isLoopback and isWildcard", () => {
  const cases: [ip: string, loopback: boolean, wildcard: boolean][] = [
    ["127.0.0.1", true, false],
    ["127.9.9.9", true, false],
    ["::1", true, false],
    ["::ffff:127.0.0.1", true, false],
    ["10.0.0.1", false, false],
    ["0.0.0.0", false, true],
    ["::", false, true],
  ];
  for (const [ip, loopback, wildcard] of cases) {
    const address = ipAddress(ip, 80);
    ok(address);
    deepEqual([isLoopback(address), isWildcard(address)], [loopback, wildcard], ip);
  }
  equal(isLoopback({ kind: "unix", path: "/s" }), true);
  equal(ipAddress("localhost", 80), undefined, "no IP");
});
