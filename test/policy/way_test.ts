import { deepEqual, equal } from "node:assert/strict";
import { describe, it } from "node:test";
import { VIA_MAX } from "../../src/base/limits.ts";
import { Way, wayAtOnce, wayByRoute, wayRoute } from "../../src/policy/way.ts";
import { compileList, pathSpec, request, spec } from "./routing_fixture.ts";

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
      equal(wayAtOnce(bytes, head), want);
    });
  }
});

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
