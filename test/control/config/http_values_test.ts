import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import type { Reading } from "../../../src/control/config/errors.ts";
import {
  readEditableName,
  readFieldName,
  readFieldValue,
  readHost,
  readHostField,
  readMethod,
  readPath,
  readPathText,
  readRegex,
  readRequestLine,
  readStatuses,
} from "../../../src/control/config/http_values.ts";

type Case = readonly [text: string, want: unknown, why: string];

function each(read: (text: string) => Reading<unknown>, cases: readonly Case[]): void {
  for (const [text, want, why] of cases) {
    const reading = read(text);
    deepEqual(reading.ok ? reading.value : reading.what, want, `${why}: ${text.slice(0, 60)}`);
    ok(reading.ok || reading.remedy.length > 0, why);
  }
}

test("readHost", () =>
  each(readHost, [
    ["shop.example", "shop.example", "a name"],
    ["Shop.Example.", "shop.example", "lower case, without a dot at its end"],
    ["*.shop.example", "*.shop.example", "what is below it"],
    ["a_b-c.example", "a_b-c.example", "underscores and hyphens"],
    ["10.0.0.1", "10.0.0.1", "an address"],
    ["[2001:DB8::0:1]", "[2001:db8::1]", "an IPv6 address, canonical"],
    ["xn--bcher-kva.example", "xn--bcher-kva.example", "an international name"],
    ["", "empty", "empty"],
    ["*", "every host is what no host at all means", "a star alone"],
    ["*.", '"*." is no host', "nothing below"],
    ["a.*.example", '"a.*.example" is no host', "a star in the middle"],
    ["*shop.example", '"*shop.example" is no host', "a star in a label"],
    ["shop.example:80", '"shop.example:80" has a port, which is not looked at', "a port"],
    ["http://shop.example", '"http://shop.example" is no host', "a URL"],
    ["shop.example/a", '"shop.example/a" is no host', "a path"],
    ["2001:db8::1", '"2001:db8::1" is no host', "no brackets"],
    ["[fe80::1%eth0]", '"[fe80::1%eth0]" is no host', "a scope"],
    ["bücher.example", '"bücher.example" is no host', "not ASCII"],
    ["a..example", '"a..example" is no host', "an empty label"],
    ["-a.example", '"-a.example" is no host', "a hyphen"],
    [`${"a.".repeat(126)}aa`, `"${"a.".repeat(36)}..." is no host`, "too long"],
  ]));

test("readPath", () =>
  each(readPath, [
    ["/ws", { kind: "exact", text: "/ws" }, "exact"],
    ["/api/", { kind: "prefix", text: "/api/" }, "a slash at the end"],
    ["/", { kind: "prefix", text: "/" }, "the root is a prefix"],
    ["/users/{id}", { kind: "pattern", text: "/users/{id}" }, "a name in braces"],
    ["/users/{id}/", { kind: "pattern", text: "/users/{id}/" }, "a pattern, whatever it ends with"],
    ["/a{b", { kind: "exact", text: "/a{b" }, "a brace alone"],
    ["/größe", { kind: "exact", text: "/größe" }, "paths are compared once they are decoded"],
    ["/a//b", { kind: "exact", text: "/a//b" }, "slashes are not merged"],
    ["", "empty", "empty"],
    ["api/", '"api/" does not begin with a slash', "no slash"],
    ["/a?b=c", '"/a?b=c" holds "?", which no path has', "a query"],
    ["/a#b", '"/a#b" holds "#", which no path has', "a fragment"],
    ["/a b", '"/a b" holds " ", which no path has', "a space"],
    ["/a/../b", '"/a/../b" has a segment of dots, which no request\'s path has', "resolved before"],
    ["/a/.", '"/a/." has a segment of dots, which no request\'s path has', "resolved before"],
    ["/a\0", '"/a\\x00" holds a control character', "NUL"],
    ["/" + "a".repeat(3_000), "a text of 3001 characters", "too long"],
  ]));

test("readRegex and readPathText", () => {
  each(readRegex, [
    ["^/a/[0-9]+$", { kind: "regex", source: "^/a/[0-9]+$" }, "left to PCRE2"],
    ["", "empty", "matches everything"],
    ["a\nb", '"a\\nb" holds a control character', "a line end"],
  ]);
  each(readPathText, [["/api", "/api", "a beginning"], [
    "api",
    '"api" does not begin with a slash',
    "no slash",
  ]]);
});

test("the remedy for a path is one that is taken", () => {
  const cases: [text: string, want: string][] = [
    ["/a b", "write /a%20b"],
    ["/a b?c d", "write /a%20b"],
    ["/a?b", "write /a"],
  ];
  for (const [text, want] of cases) {
    const reading = readPath(text);
    equal(reading.ok ? "" : reading.remedy, want, text);
    ok(readPath(want.slice("write ".length)).ok, want);
  }
});

test("readMethod", () =>
  each(readMethod, [
    ["GET", "GET", "known"],
    ["PROPFIND", "PROPFIND", "any token"],
    ["get", '"get" is not in capitals', "methods are case-sensitive"],
    ["G T", '"G T" is more than one method', "a space"],
    ["G\tT", '"G\\tT" is no method', "a tab"],
    ["", '"" is no method', "empty"],
    ["A".repeat(33), `"${"A".repeat(33)}" is no method`, "longer than any that is read"],
  ]));

test("names and values of fields", () => {
  each(readFieldName, [
    ["X-Tier", "X-Tier", "a token"],
    ["a b", '"a b" is no name of a field', "a space"],
    ["a:", '"a:" is no name of a field', "a colon"],
    ["", '"" is no name of a field', "empty"],
    ["é", '"é" is no name of a field', "not ASCII"],
  ]);
  each(readEditableName, [
    ["X-Tier", "X-Tier", "anybody's"],
    ["host", "the host is rewritten elsewhere", "rewrite.host"],
    ["Content-Length", '"Content-Length" belongs to a message\'s framing or its connection', "framing"],
    ["transfer-encoding", '"transfer-encoding" belongs to a message\'s framing or its connection', "framing"],
    ["CONNECTION", '"CONNECTION" belongs to a message\'s framing or its connection', "one hop's"],
  ]);
  each(readFieldValue, [
    ["gold", "gold", "plain"],
    ["", "", "fields may be empty"],
    ["a\tb", '"a\\tb" holds a control character', "a tab"],
    ["a\r\nSet-Cookie: x", '"a\\r\\nSet-Cookie: x" holds a control character', "another field"],
    [" a", '" a" has white space at an end, which is not sent', "white space"],
    ["größe", "größe", "UTF-8"],
  ]);
});

test("readRequestLine and readHostField", () => {
  each(readRequestLine, [
    ["GET /healthz", { method: "GET", target: "/healthz" }, "both"],
    ["/healthz?full=1", { method: "GET", target: "/healthz?full=1" }, "GET goes without saying"],
    ["HEAD /", { method: "HEAD", target: "/" }, "another method"],
    ["GET healthz", '"healthz" is no path to ask for', "no slash"],
    ["GET", '"GET" is no path to ask for', "no path"],
    ["GET /a HTTP/1.1", '"GET /a HTTP/1.1" is no method and path', "a whole request line"],
    ["GET  /a", '"GET  /a" is no method and path', "two spaces"],
    ["get /a", '"get" is not in capitals', "methods are case-sensitive"],
    ["CONNECT /a", "CONNECT asks for a tunnel", "no check"],
    ["GET /ä", '"/ä" is no path to ask for', "not ASCII"],
  ]);
  each(readHostField, [
    ["shop.example", "shop.example", "a name"],
    ["shop.example:8080", "shop.example:8080", "a port"],
    ["[::1]:80", "[::1]:80", "IPv6"],
    ["a\r\nb", '"a\\r\\nb" is no host', "another line"],
    ["a b", '"a b" is no host', "a space"],
    ["", '"" is no host', "empty"],
  ]);
});

test("a request line holds no second line", () => {
  for (const text of ["GET /a\r\nX:y", "GET /a\nX", "GET\r /a"]) equal(readRequestLine(text).ok, false, text);
});

test("readStatuses", () =>
  each(readStatuses, [
    ["200", [[200, 200]], "one"],
    ["200-299", [[200, 299]], "a range"],
    ["200, 204,300-399", [[200, 200], [204, 204], [300, 399]], "a list"],
    ["100-599", [[100, 599]], "all"],
    ["", '"" is no status', "empty"],
    ["2xx", '"2xx" is no status', "a class"],
    ["099", '"099" is out of range', "below"],
    ["600", '"600" is out of range', "above"],
    ["299-200", '"299-200" is out of range', "the wrong way round"],
    ["200,", '"" is no status', "a comma too many"],
  ]));
