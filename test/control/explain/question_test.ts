// What can be asked, and what is said of questions that cannot.
import { deepEqual, equal, ok } from "node:assert/strict";
import { describe, it } from "node:test";
import { formatProblem } from "../../../src/control/config/errors.ts";
import { addressText } from "../../../src/control/config/address.ts";
import { askedOf } from "../../../src/control/explain/live.ts";
import { type Asked, readQuestion, requestBytes } from "../../../src/control/explain/question.ts";
import { splitQuestion } from "../../../src/control/verbs/explain.ts";

const ADDRESSES =
  "write tcp://HOST:PORT, udp://HOST:PORT, unix:/PATH or [METHOD] http://HOST[:PORT]/PATH; tls:// and https:// likewise";

describe("readQuestion refuses", () => {
  const cases: readonly (readonly [asked: Partial<Asked> & { what: string }, message: string])[] = [
    [{ what: "" }, `sluice: neither an address nor a URL; ${ADDRESSES}`],
    [{ what: "shop.example" }, `sluice: shop.example: neither an address nor a URL; ${ADDRESSES}`],
    [{ what: "/path" }, `sluice: /path: neither an address nor a URL; ${ADDRESSES}`],
    [
      { what: "tcp://127.0.0.1" },
      'sluice: tcp://127.0.0.1: "127.0.0.1" has no port; write 127.0.0.1:PORT',
    ],
    [
      { what: "tcp://127.0.0.1:70000" },
      'sluice: tcp://127.0.0.1:70000: port "70000" is out of range; write a port from 0 to 65535',
    ],
    [{ what: "unix:" }, "sluice: unix:: unix: without a path; write unix:/PATH"],
    [
      { what: "https://me@shop.example/" },
      'sluice: https://me@shop.example/: "me@shop.example" is no HOST:PORT; write https://HOST[:PORT]/PATH',
    ],
    [
      { what: "https://shop.example:0x/" },
      'sluice: https://shop.example:0x/: "0x" is no port; write a port from 1 to 65535',
    ],
    [
      { what: "http://shop.example/", sni: "a.example" },
      "sluice: --sni: a name of TLS, and no TLS; ask with https://",
    ],
    [
      { what: "ftp://shop.example/" },
      `sluice: ftp://shop.example/: "ftp" is no scheme to ask with; ${ADDRESSES}`,
    ],
    [
      { what: "http://me@shop.example/" },
      'sluice: http://me@shop.example/: "me@shop.example" is no HOST:PORT; write http://HOST[:PORT]/PATH',
    ],
    [
      { what: "http://:80/" },
      'sluice: http://:80/: ":80" has no host; write 127.0.0.1:80',
    ],
    [
      { what: "http://a/\nb" },
      "sluice: http://a/\\nb: holds a control character; write it as %HH",
    ],
    [{ what: "http://a/", method: "G T" }, 'sluice: G T: "G T" is no method; write a method such as GET'],
    [
      { what: "tcp://:1", method: "GET" },
      "sluice: GET: a method without a URL; write METHOD http://HOST[:PORT]/PATH",
    ],
    [
      { what: "tcp://:1", headers: ["A: b"] },
      "sluice: -H: a connection has no fields; ask with a URL, or leave it out",
    ],
    [{ what: "http://a/", headers: ["Cookie"] }, `sluice: -H: "Cookie" is no field; write -H 'NAME: VALUE'`],
    [{ what: "http://a/", headers: [": x"] }, `sluice: -H: ": x" is no field; write -H 'NAME: VALUE'`],
    [
      { what: "http://a/", headers: ["A: b\r\nC: d"] },
      "sluice: -H: more than one line; write -H 'NAME: VALUE' for each field",
    ],
    [
      { what: "http://a/", from: "shop.example" },
      'sluice: --from: "shop.example" is no address of a client; write an IP address, with or without a port: ' +
      "10.1.2.3:55555 or [2001:db8::1]:55555",
    ],
    [
      { what: "http://a/", headers: [`A: ${"x".repeat(70_000)}`] },
      "sluice: a request of 70012 characters; ask with at most 65536",
    ],
  ];
  for (const [asked, message] of cases) {
    it(message, () => {
      const question = readQuestion({ headers: [], ...asked });
      ok("problems" in question);
      deepEqual(question.problems.map(formatProblem), [message]);
    });
  }

  it("all of it at once", () => {
    const question = readQuestion({ what: "ftp://x", method: "(", from: "y", headers: ["z"] });
    ok("problems" in question);
    equal(question.problems.length, 4);
  });
});

describe("readQuestion reads", () => {
  const cases: readonly (readonly [asked: Partial<Asked> & { what: string }, to: string, from: string])[] = [
    [{ what: "tcp://127.0.0.1:5432" }, "127.0.0.1:5432", "127.0.0.1:50000"],
    [{ what: "tcp://:5432", from: "10.1.2.3" }, "[::]:5432", "10.1.2.3:50000"],
    [{ what: "unix:/run/a.sock", from: "10.1.2.3:1" }, "unix:/run/a.sock", "10.1.2.3:1"],
    [{ what: "http://shop.example/", from: "::1" }, "shop.example:80", "[::1]:50000"],
    [{ what: "http://[::1]:8080?a", from: "[2001:db8::1]:9" }, "[::1]:8080", "[2001:db8::1]:9"],
    [{ what: "http://A.example:81", from: "[::1]" }, "a.example:81", "[::1]:50000"],
    [{ what: "https://A.example/" }, "a.example:443", "127.0.0.1:50000"],
    [{ what: "https://a.example:8443/" }, "a.example:8443", "127.0.0.1:50000"],
    [{ what: "tls://127.0.0.1:6432", sni: "a.example" }, "127.0.0.1:6432", "127.0.0.1:50000"],
  ];
  for (const [asked, to, from] of cases) {
    it(JSON.stringify(asked), () => {
      const question = readQuestion({ headers: [], ...asked });
      ok("kind" in question, JSON.stringify(question));
      deepEqual([addressText(question.to), addressText(question.from)], [to, from]);
    });
  }

  const names:
    readonly (readonly [asked: Partial<Asked> & { what: string }, secure: boolean, sni: string | null])[] = [
      [{ what: "tcp://127.0.0.1:1" }, false, null],
      [{ what: "tcp://a.example:1" }, false, null],
      [{ what: "tcp://a.example:1", sni: "B.example" }, false, "b.example"],
      [{ what: "tls://A.example:1" }, true, "a.example"],
      [{ what: "tls://192.0.2.1:1" }, true, null],
      [{ what: "tls://a.example:1", sni: "b.example" }, true, "b.example"],
      [{ what: "unix:/run/a.sock", sni: "b.example" }, false, "b.example"],
      [{ what: "http://a.example/" }, false, null],
      [{ what: "https://a.example/" }, true, "a.example"],
      [{ what: "https://[::1]/" }, true, null],
      [{ what: "https://[::1]/", sni: "b.example" }, true, "b.example"],
    ];
  for (const [asked, secure, sni] of names) {
    it(`${JSON.stringify(asked)}: the name that TLS is asked for`, () => {
      const question = readQuestion({ headers: [], ...asked });
      ok("kind" in question, JSON.stringify(question));
      deepEqual([question.secure, question.sni], [secure, sni]);
    });
  }

  const heads: readonly (readonly [asked: Partial<Asked> & { what: string }, head: string])[] = [
    [
      { what: "http://Shop.example:81/a%20b?x=1#y" },
      "GET /a%20b?x=1 HTTP/1.1\r\nHost: Shop.example:81\r\n\r\n",
    ],
    [{ what: "http://a" }, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"],
    [{ what: "http://a?b=/c" }, "GET /?b=/c HTTP/1.1\r\nHost: a\r\n\r\n"],
    [{ what: "HTTPS://a?b=/c" }, "GET /?b=/c HTTP/1.1\r\nHost: a\r\n\r\n"],
    [
      { what: "http://a/../b", method: "PUT", headers: ["X: 1", "hOST : b"] },
      "PUT /../b HTTP/1.1\r\nX: 1\r\nhOST : b\r\n\r\n",
    ],
    [{ what: "http://a/é" }, "GET /Ã© HTTP/1.1\r\nHost: a\r\n\r\n"],
  ];
  for (const [asked, head] of heads) {
    it(`${JSON.stringify(asked)} as a client would send it`, () => {
      const question = readQuestion({ headers: [], ...asked });
      ok("kind" in question && question.kind === "request");
      equal(new TextDecoder("latin1").decode(requestBytes(question)), head);
    });
  }
});

describe("splitQuestion", () => {
  const cases: readonly (readonly [
    rest: string,
    hasOther: boolean,
    what: string | undefined,
    method: string | undefined,
    config: string,
  ])[] = [
    ["tcp://:1", true, "tcp://:1", undefined, ""],
    ["GET http://a/?b=c", true, "http://a/?b=c", "GET", ""],
    ["--reactors 2 GET http://a/", true, "http://a/", "GET", "--reactors 2"],
    ["--log-level debug http://a/", true, "http://a/", undefined, "--log-level debug"],
    ["--log-level=debug get http://a/", true, "http://a/", "get", "--log-level=debug"],
    ["tcp://:1=1.2.3.4:5 tcp://:1", false, "tcp://:1", undefined, "tcp://:1=1.2.3.4:5"],
    ["tcp://:1 tcp://:1=1.2.3.4:5", false, "tcp://:1", undefined, "tcp://:1=1.2.3.4:5"],
    ["http://:1=1.2.3.4:5 http://a/?b=c", false, "http://a/?b=c", undefined, "http://:1=1.2.3.4:5"],
    [
      "http://:1=1.2.3.4:5 --connect-timeout 1s PUT http://a/",
      false,
      "http://a/",
      "PUT",
      "http://:1=1.2.3.4:5 --connect-timeout 1s",
    ],
    ["http://:1=1.2.3.4:5", false, undefined, undefined, ""],
    ["", true, undefined, undefined, ""],
    ["GET", true, undefined, undefined, ""],
    ["http://a http://b", true, undefined, undefined, ""],
  ];
  for (const [rest, hasOther, what, method, config] of cases) {
    it(rest === "" ? "nothing" : rest, () => {
      const split = splitQuestion(rest.split(" ").filter((word) => word !== ""), hasOther);
      if (what === undefined) return ok("problems" in split);
      ok("what" in split, JSON.stringify(split));
      deepEqual([split.what, split.method, split.config.join(" ")], [what, method, config]);
    });
  }
});

it("askedOf reads a query as it is asked of /explain", () => {
  const query = new URLSearchParams(
    "to=http://a/&method=PUT&header=A:+1&header=B:+2&from=::1&proxied=local&sni=b&alpn=h2",
  );
  deepEqual(askedOf(query), {
    what: "http://a/",
    method: "PUT",
    from: "::1",
    proxied: "local",
    sni: "b",
    alpn: "h2",
    headers: ["A: 1", "B: 2"],
  });
  const nothing = { method: undefined, from: undefined, proxied: undefined, sni: undefined, alpn: undefined };
  deepEqual(askedOf(new URLSearchParams()), { what: "", ...nothing, headers: [] });
});
