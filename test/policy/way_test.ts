import { deepEqual, equal } from "node:assert/strict";
import { describe, it } from "node:test";
import { NONE, TOKEN_BYTES_MAX, VIA_MAX } from "../../src/base/limits.ts";
import { ArenaWriter } from "../../src/control/config/arena.ts";
import { placeSni } from "../../src/control/config/compile_sni.ts";
import { makePlan, NO_SIZES, type Plan } from "../../src/plan/plan.ts";
import { type Head, makeHead } from "../../src/proto/head.ts";
import { parseRequest } from "../../src/proto/http1_head.ts";
import { Way, wayAtOnce, wayByRoute, wayRoute } from "../../src/policy/way.ts";
import { compileList, latin1, pathSpec, request, spec, textOf } from "./routing_fixture.ts";

const LISTENER = 1;

/** One listener that sends plain requests to that port, and answers challenges for the host that is issued for. */
function planOf({ toHttps = 0, thumbprint = "", issued = "shop.example" } = {}): Plan {
  const arena = new ArenaWriter(), printAt = arena.add(latin1(thumbprint));
  const itself = [{ to: "", terminate: true, protocol: undefined, path: [] }];
  const placed = placeSni(arena, [{ number: NONE, choices: { [issued]: itself } }], () => NONE);
  const plan = makePlan(1, { ...NO_SIZES, listeners: 2, arenaBytes: arena.bytes, sni: placed.sizes });
  arena.copyTo(plan.arena);
  placed.fill(plan.sni);
  plan.listenerToHttps[LISTENER] = toHttps;
  plan.listenerThumbprintAt[LISTENER] = printAt;
  plan.listenerThumbprintBytes[LISTENER] = thumbprint.length;
  return plan;
}

describe("wayAtOnce", () => {
  const vias = (count: number) => `Via: ${Array(count).fill("1.1 sluice").join(", ")}`;
  const cases: [target: string, method: string, lines: string[], want: Way, why: string][] = [
    ["/", "GET", [], Way.Upstream, "nothing speaks against it"],
    ["shop.example:80", "CONNECT", [], Way.Connect, "no forward proxy"],
    ["/", "OPTIONS", ["Max-Forwards: 0"], Way.LastHop, "it is for us"],
    ["/", "TRACE", ["Max-Forwards: 0"], Way.LastHop, "likewise"],
    ["/", "OPTIONS", ["Max-Forwards: 1"], Way.Upstream, "one hop is left"],
    ["/", "GET", ["Max-Forwards: 0"], Way.Upstream, "GET does not count hops"],
    ["/", "GET", [vias(VIA_MAX)], Way.Upstream, "as often as it may"],
    ["/", "GET", [vias(VIA_MAX + 1)], Way.Loop, "once too often"],
    ["/", "OPTIONS", ["Max-Forwards: 0", vias(VIA_MAX + 1)], Way.LastHop, "it goes no further anyway"],
  ];
  for (const [target, method, lines, want, why] of cases) {
    it(`${method} ${target}: ${why}`, () => {
      const { bytes, head } = request(target, lines, method);
      equal(wayAtOnce(planOf(), LISTENER, bytes, head), want);
    });
  }
});

describe("wayAtOnce: challenges of ACME", () => {
  const prefix = "/.well-known/acme-challenge/", long = "A".repeat(TOKEN_BYTES_MAX);
  const cases: [target: string, method: string, want: Way, why: string][] = [
    [`${prefix}abc-_XYZ09`, "GET", Way.Challenge, "a token"],
    [`${prefix}abc`, "HEAD", Way.Challenge, "the same without its body"],
    [`${prefix}${long}`, "GET", Way.Challenge, "as long as it may be"],
    [`${prefix}${long}A`, "GET", Way.ToHttps, "one octet too many"],
    [prefix, "GET", Way.ToHttps, "no token"],
    [prefix.slice(0, -1), "GET", Way.ToHttps, "no token either"],
    [`${prefix}a/b`, "GET", Way.ToHttps, "a slash"],
    [`${prefix}a%41`, "GET", Way.ToHttps, "an escape: tokens have none"],
    [`${prefix}a.b`, "GET", Way.ToHttps, "a dot: a key authorization is no token"],
    [`${prefix}abc?x=1`, "GET", Way.ToHttps, "a query"],
    [`${prefix}abc`, "POST", Way.ToHttps, "nobody fetches it so"],
    ["/.well-known/acme-challengE/abc", "GET", Way.ToHttps, "paths have a case"],
    ["/.well-known/acme-challenge-abc", "GET", Way.ToHttps, "another path"],
    ["/", "GET", Way.ToHttps, "anything else"],
  ];
  for (const [target, method, want, why] of cases) {
    it(`${method} ${target.slice(0, 60)}: ${why}`, () => {
      const { bytes, head } = request(target, [], method);
      equal(wayAtOnce(planOf({ toHttps: 443, thumbprint: "print" }), LISTENER, bytes, head), want);
      const without = want === Way.Challenge ? Way.Upstream : want;
      equal(wayAtOnce(planOf({ toHttps: want === Way.Challenge ? 0 : 443 }), LISTENER, bytes, head), without);
    });
  }

  it("of hosts that certificates are issued for: others prove themselves", () => {
    const hosts: [host: string, issued: string, want: Way][] = [
      ["shop.example", "shop.example", Way.Challenge],
      ["SHOP.example:80", "shop.example", Way.Challenge],
      ["other.example", "shop.example", Way.Upstream],
      ["www.shop.example", "shop.example", Way.Upstream],
      ["", "shop.example", Way.Upstream],
      ["any.example", "default", Way.Challenge],
    ];
    for (const [host, issued, want] of hosts) {
      const { bytes, head } = request(`${prefix}abc`, [`Host: ${host}`]);
      equal(wayAtOnce(planOf({ thumbprint: "print", issued }), LISTENER, bytes, head), want, host);
    }
  });

  it("for every octet: base64url and no more", () => {
    for (let octet = 0x21; octet < 0x7f; octet++) {
      const character = String.fromCharCode(octet);
      if ("?#/\\%".includes(character) || character === ".") continue; // no path, or another one
      const { bytes, head } = request(`${prefix}a${character}b`);
      const way = wayAtOnce(planOf({ thumbprint: "print" }), LISTENER, bytes, head);
      equal(way, /[A-Za-z0-9_-]/.test(character) ? Way.Challenge : Way.Upstream, character);
    }
  });
});

describe("wayAtOnce: to https://", () => {
  const to = planOf({ toHttps: 443 });
  const cases: [target: string, method: string, lines: string[], want: Way, why: string][] = [
    ["/", "GET", [], Way.ToHttps, "whatever it is"],
    ["/", "POST", ["Content-Length: 3"], Way.ToHttps, "with its body"],
    ["*", "OPTIONS", [], Way.ToHttps, "of the whole server"],
    ["http://shop.example/", "GET", [], Way.ToHttps, "its host is in its target"],
    ["/", "GET", ["Host:"], Way.NoHost, "nowhere to send it"],
    ["shop.example:80", "CONNECT", [], Way.Connect, "no tunnel anywhere"],
    ["/", "OPTIONS", ["Max-Forwards: 0"], Way.LastHop, "it is for us"],
  ];
  for (const [target, method, lines, want, why] of cases) {
    it(`${method} ${target}: ${why}`, () => {
      const { bytes, head } = target === "*" ? asterisk() : request(target, lines, method);
      equal(wayAtOnce(to, LISTENER, bytes, head), want);
      equal(wayAtOnce(planOf(), LISTENER, bytes, head) === want, want < Way.ToHttps, "if it is asked for");
    });
  }
});

function asterisk(): { bytes: Uint8Array; head: Head } {
  const bytes = latin1("OPTIONS * HTTP/1.1\r\nHost: shop.example\r\n\r\n"), head = makeHead();
  equal(parseRequest(bytes, 0, bytes.length, head), bytes.length, textOf(bytes));
  return { bytes, head };
}

describe("wayByRoute", () => {
  const compiled = compileList([
    spec({ path: pathSpec("/up/"), bodyBytesMax: 10 }),
    spec({ path: pathSpec("/redirect"), action: { kind: "redirect", to: "/x", status: 308 } }),
    spec({ path: pathSpec("/respond"), action: { kind: "respond", status: 200, body: "" } }),
    spec({ path: pathSpec("~^/slow") }),
    spec({ path: pathSpec("/free") }),
  ]);
  const cases: [target: string, lines: string[], want: Way, route: number, why: string][] = [
    ["/up/", [], Way.Upstream, 1, "no body"],
    ["/up/", ["Content-Length: 10"], Way.Upstream, 1, "as long as it may be"],
    ["/up/", ["Content-Length: 11"], Way.TooLong, 1, "one byte too many"],
    ["/up/", ["Transfer-Encoding: chunked"], Way.Upstream, 1, "not known yet: the body is counted"],
    ["/free", ["Content-Length: 4000000000"], Way.Upstream, 5, "no limit"],
    ["/redirect", [], Way.Redirect, 2, "by its action"],
    ["/respond", [], Way.Respond, 3, "by its action"],
    ["/none", [], Way.None, 0, "no route"],
    ["/slow", [], Way.Undecided, 0, "an expression that gives up chooses nothing"],
  ];
  for (const [target, lines, want, route, why] of cases) {
    it(`${target}: ${why}`, () => {
      const { bytes, head, path, pathAt, pathEnd, client, clientAt } = request(target, lines, "POST");
      const [router] = compiled.compiled.routers;
      const seen: number[] = [];
      const match = () => target === "/slow" ? -1 : 0;
      const way = wayByRoute(
        compiled.plan,
        router,
        bytes,
        head,
        path,
        pathAt,
        pathEnd,
        client,
        clientAt,
        match,
        { tried: (route) => seen.push(route) },
      );
      deepEqual([way, wayRoute], [want, route], why);
      equal(
        seen.at(-1),
        target === "/none" || target === "/slow" ? 4 : route,
        "the recorder sees the last one",
      );
    });
  }
});
