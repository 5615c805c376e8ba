import { deepEqual, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import type { RouteSpec } from "../../src/control/config/routes.ts";
import { bodyBytesMax, capture, captured, route, RouteVerdict, UNDECIDED } from "../../src/policy/route.ts";
import {
  compileList,
  compileLists,
  pathSpec,
  type Request,
  request,
  routeOf,
  spec,
  textOf,
} from "./routing_fixture.ts";

/** Routes by their paths, numbered from 1. */
function byPath(...paths: string[]): RouteSpec[] {
  return paths.map((path) => spec({ path: pathSpec(path) }));
}

describe("route: paths", () => {
  const cases: [paths: string[], path: string, want: number, why: string][] = [
    [[""], "/x", 1, "any"],
    [["/a"], "/a", 1, "exact"],
    [["/a"], "/a/", 0, "exact is all of it"],
    [["/a"], "/", 0, "not a part of it"],
    [["/a"], "/ab", 0, "not more than it"],
    [["/a"], "/A", 0, "paths have case"],
    [["/a"], "/a?x=/b", 1, "the query is not the path's"],
    [["/a b"], "/a%20b", 1, "decoded"],
    [["/a%20b"], "/a b".replace(" ", "%20"), 1, "the configuration's as well"],
    [["/caf\u00e9"], "/caf%c3%a9", 1, "UTF-8 on both sides"],
    [["/a%2fb"], "/a%2Fb", 1, "an encoded slash has one spelling"],
    [["/a/b"], "/a%2Fb", 0, "an encoded slash does not separate"],
    [["/a/"], "/a%2Fb", 0, "nor end a prefix"],
    [["/a/"], "/x/../a/b", 1, "dots are resolved before"],
    [["/public/", "/admin/"], "/public/%2e%2e/admin/x", 2, "no way around a route"],
    [["/a/"], "/a/", 1, "a prefix with a slash"],
    [["/a/"], "/a/b/c", 1, "and below"],
    [["/a/"], "/a", 0, "not without its slash"],
    [["=/a"], "/a", 1, "a prefix without a slash"],
    [["=/a"], "/a/", 1, "ends at a segment's border"],
    [["=/a"], "/a/b", 1, "ends at a segment's border"],
    [["=/a"], "/ab", 0, "and nowhere else"],
    [["/", "/{x}"], "/a", 2, "a prefix of / says nothing"],
    [["/", "~^/a"], "/a", 2, "and comes behind expressions"],
    [["", "/a"], "/a", 2, "exact before any"],
    [["/a/", "/a/b"], "/a/b", 2, "exact before prefix"],
    [["/{x}", "/a"], "/a", 2, "exact before pattern"],
    [["~.", "/a"], "/a", 2, "exact before expression"],
    [["/a/", "/a/b/"], "/a/b/c", 2, "the longer prefix"],
    [["/a/b/", "/a/"], "/a/b/c", 1, "wherever it stands"],
    [["/a/b/", "/a/"], "/a/c", 2, "and the shorter where the longer is none"],
    [["=/a/b", "=/a/bc"], "/a/bcd", 0, "neither ends there"],
    [["=/a", "=/a/b"], "/a/bc", 1, "the longer does not end there"],
    [["~.", "/a/"], "/a/b", 2, "prefix before expression"],
    [["~.", "/{x}"], "/a", 2, "pattern before expression"],
    [["~c", "~b"], "/ab", 2, "expressions in their order, searched"],
    [["~b", "~a"], "/ab", 1, "expressions in their order"],
    [["~^/b"], "/ab", 0, "an expression may be bound"],
    [["/a/", "/a/{x}"], "/a/b", 2, "with the same text a pattern says more than a prefix"],
    [["/a/", "/a/{x}"], "/a/b/c", 1, "where it matches"],
    [["/{x}/c", "/a/"], "/a/c", 2, "more text before the first part"],
    [["/{x}/{y}", "/{x}/c"], "/a/c", 2, "more text in all"],
    [["/{x...}", "/{x}"], "/a", 2, "a segment says more than a rest"],
    [["/{x...}", "/{x}"], "/a/b", 1, "where it matches"],
    [["/u/{id}"], "/u/", 0, "a part is not empty"],
    [["/u/{id}"], "/u/1", 1, "a part is a segment"],
    [["/u/{id}"], "/u/1/", 0, "and no more"],
    [["/u/{id}"], "/u/a%2Fb", 1, "an encoded slash is part of it"],
    [["/u/{id}/f/{rest...}"], "/u/1/f/", 1, "a rest may be empty"],
    [["/u/{id}/f/{rest...}"], "/u/1/f", 0, "but for its slash"],
    [["/u/{id}/f/{rest...}"], "/u/1/f/x/y", 1, "and has slashes"],
    [["/f/{name}.txt"], "/f/a.txt", 1, "text behind a part"],
    [["/f/{name}.txt"], "/f/a.b.txt", 1, "which ends the segment"],
    [["/f/{name}.txt"], "/f/.txt", 0, "a part is not empty"],
    [["/f/{name}.txt"], "/f/a.txt/b", 0, "and the path ends with it"],
    [["/v{n}/x"], "/v12/x", 1, "text before a part"],
    [["/v{n}/x"], "/v/x", 0, "a part is not empty"],
    [["/{{a}/{y}"], "/{a}/1", 1, "a brace"],
    [["/{{a}/{y}"], "/b/1", 0, "is no part"],
    [["/a", "/a"], "/a", 1, "the same twice: order"],
    [["/*"], "/*", 1, "a star is a star"],
  ];
  for (const [paths, path, want, why] of cases) {
    it(`${path} by ${paths.join(" ")}: ${why}`, () => {
      strictEqual(routeOf(compileList(byPath(...paths)), request(path)), want);
    });
  }

  it("OPTIONS * and CONNECT are taken by what takes any path", () => {
    const compiled = compileList(byPath("/x", "~^[*]", ""));
    strictEqual(routeOf(compiled, request("*", [], "OPTIONS")), 2);
    strictEqual(routeOf(compileList(byPath("/{x...}", "")), request("*", [], "OPTIONS")), 2);
  });
});

describe("route: hosts", () => {
  const cases: [hosts: string[][], host: string, want: number, why: string][] = [
    [[["a.example"]], "a.example", 1, "exact"],
    [[["a.example"]], "A.eXample", 1, "names have no case"],
    [[["a.example"]], "a.example:8080", 1, "the port is not looked at"],
    [[["a.example"]], "a.example.", 1, "the root's dot"],
    [[["a.example"]], "b.a.example", 0, "not below it"],
    [[["a.example"]], "xa.example", 0, "nor beside it"],
    [[["a.example"], []], "b.example", 2, "any host is the last resort"],
    [[[], ["a.example"]], "a.example", 2, "exact before any"],
    [[["*.example"]], "a.example", 1, "wildcard"],
    [[["*.example"]], "c.b.a.example", 1, "any depth below"],
    [[["*.example"]], "example", 0, "not itself"],
    [[["*.example"]], ".example", 0, "nor nothing below it"],
    [[["*.example"]], "aexample", 0, "only at a dot"],
    [[["*.example"], ["a.example"]], "a.example", 2, "exact before wildcard"],
    [[["*.example"], ["*.a.example"]], "b.a.example", 2, "the longer wildcard"],
    [[["*.a.example"], ["*.example"]], "b.c.example", 2, "the one that fits"],
    [[[], ["*.example"]], "a.example", 2, "wildcard before any"],
    [[["a.example", "b.example"]], "b.example", 1, "one of several"],
    [[["127.0.0.1"]], "127.0.0.1:80", 1, "an address"],
    [[["[::1]"]], "[::1]:80", 1, "an address"],
    [[["*.example"], []], `${"a.".repeat(2000)}example`, 1, "longer than any name: its right end counts"],
  ];
  for (const [hosts, host, want, why] of cases) {
    it(`${host.slice(0, 40)} by ${hosts.map((names) => names.join() || "any").join(" ")}: ${why}`, () => {
      strictEqual(
        routeOf(compileList(hosts.map((hosts) => spec({ hosts }))), request("/", [`Host: ${host}`])),
        want,
      );
    });
  }

  it("absolute form's host is the host", () => {
    const compiled = compileList([spec({ hosts: ["a.example"] }), spec({})]);
    strictEqual(routeOf(compiled, request("http://a.example/x", ["Host: a.example"])), 1);
    strictEqual(routeOf(compiled, request("http://a.example", ["Host: a.example"])), 1);
  });

  it("a less specific host is tried when nothing of the more specific one fits", () => {
    const compiled = compileList([
      spec({ hosts: ["a.b.example"], path: pathSpec("/x") }),
      spec({ hosts: ["*.b.example"], path: pathSpec("/y/"), methods: ["POST"] }),
      spec({ hosts: ["*.example"], path: pathSpec("/y/") }),
      spec({}),
    ]);
    const host = ["Host: a.b.example"];
    strictEqual(routeOf(compiled, request("/x", host)), 1);
    strictEqual(routeOf(compiled, request("/y/1", host, "POST")), 2);
    strictEqual(routeOf(compiled, request("/y/1", host)), 3);
    strictEqual(routeOf(compiled, request("/z", host)), 4);
  });

  it("a more specific host wins over a more specific path", () => {
    const compiled = compileList([spec({ path: pathSpec("/x") }), spec({ hosts: ["a.example"] })]);
    strictEqual(routeOf(compiled, request("/x", ["Host: a.example"])), 2);
  });
});

describe("route: conditions", () => {
  const cases: [given: Partial<RouteSpec>, how: Request, want: boolean, why: string][] = [
    [{ methods: ["GET"] }, request("/"), true, "method"],
    [{ methods: ["POST"] }, request("/"), false, "another method"],
    [{ methods: ["POST", "GET"] }, request("/"), true, "one of several"],
    [{ methods: ["GET"] }, request("/", [], "HEAD"), false, "HEAD is not GET"],
    [{ methods: ["PURGE"] }, request("/", [], "PURGE"), true, "a method by name"],
    [{ methods: ["PURGE"] }, request("/", [], "PURG"), false, "all of its name"],
    [{ methods: ["PURGE"] }, request("/", [], "purge"), false, "methods have case"],
    [{ methods: ["PURGE"] }, request("/"), false, "a known one is not it"],
    [{ methods: ["PURGE", "GET"] }, request("/"), true, "a known one beside it"],
    [{ methods: ["GET"] }, request("/", [], "PURGE"), false, "nor an unknown one among known"],
    [{ headers: [["X-Beta", "1"]] }, request("/", ["x-bETA: 1"]), true, "header, whatever its case"],
    [{ headers: [["X-Beta", "1"]] }, request("/", ["X-Beta:   1  "]), true, "white space is not its value's"],
    [{ headers: [["X-Beta", "1"]] }, request("/", ["X-Beta: 12"]), false, "exactly this value"],
    [{ headers: [["X-Beta", "a"]] }, request("/", ["X-Beta: A"]), false, "values have case"],
    [{ headers: [["X-Beta", "1"]] }, request("/", ["X-Beta: 0", "X-Beta: 1"]), true, "one of several fields"],
    [{ headers: [["X-Beta", "1"]] }, request("/"), false, "not there"],
    [{ headers: [["A", "1"], ["B", "2"]] }, request("/", ["B: 2", "A: 1"]), true, "all of them"],
    [{ headers: [["A", "1"], ["B", "2"]] }, request("/", ["A: 1"]), false, "not one of them"],
    [{ headers: [["X-\u00e9", "\u00e9"]] }, request("/", ["X-E: \xc3\xa9"]), false, "another name"],
    [{ headers: [["X-E", "\u00e9"]] }, request("/", ["X-E: \xc3\xa9"]), true, "values are UTF-8"],
    [{ queries: [["a", "1"]] }, request("/?a=1"), true, "parameter"],
    [{ queries: [["a", "1"]] }, request("/?b=2&a=1&c"), true, "among others"],
    [{ queries: [["a", "1"]] }, request("/?ba=1"), false, "all of its name"],
    [{ queries: [["a", "1"]] }, request("/?a=12"), false, "all of its value"],
    [{ queries: [["a", "1"]] }, request("/?A=1"), false, "names have case"],
    [{ queries: [["a", "1"]] }, request("/"), false, "no query"],
    [{ queries: [["a", ""]] }, request("/?a"), true, "without a value"],
    [{ queries: [["a", ""]] }, request("/?a=&b"), true, "with an empty one"],
    [{ queries: [["a", "1"]] }, request("/?a=2&a=1"), true, "one of several"],
    [{ queries: [["a b", "x&y"]] }, request("/?a+b=x%26y"), true, "decoded"],
    [{ queries: [["a", "1"]] }, request("/?%61=%31"), true, "decoded"],
    [{ queries: [["a", "%zz"]] }, request("/?a=%zz"), true, "what is no escape stands for itself"],
    [{ queries: [["a", "b=c"]] }, request("/?a=b=c"), true, "the first = separates"],
    [{ cookies: [["a", "1"]] }, request("/", ["Cookie: a=1"]), true, "cookie"],
    [{ cookies: [["a", "1"]] }, request("/", ["Cookie: b=2; a=1; c=3"]), true, "among others"],
    [{ cookies: [["a", "1"]] }, request("/", ["Cookie: b=2;a=1"]), true, "without a space"],
    [{ cookies: [["a", "1"]] }, request("/", ["Cookie: b=2", "Cookie: a=1"]), true, "in a second field"],
    [{ cookies: [["a", "1"]] }, request("/", ["Cookie: ba=1"]), false, "all of its name"],
    [{ cookies: [["a", "1"]] }, request("/", ["Cookie: a=12"]), false, "all of its value"],
    [{ cookies: [["a", "1"]] }, request("/", ["Cookie: A=1"]), false, "names have case"],
    [{ cookies: [["a", "1"]] }, request("/", ["X-Cookie: a=1"]), false, "in no other field"],
    [{ cookies: [["a", ""]] }, request("/", ["Cookie: a="]), true, "empty"],
    [{ cookies: [["a", "b=c"]] }, request("/", ["Cookie: a=b=c"]), true, "the first = separates"],
    [{ clients: ["10.0.0.0/8"] }, request("/", [], "GET", "10.1.2.3"), true, "client"],
    [{ clients: ["10.0.0.0/8"] }, request("/", [], "GET", "11.1.2.3"), false, "another"],
    [{ clients: ["10.0.0.0/8"] }, request("/", [], "GET", "mapped:10.1.2.3"), true, "mapped is IPv4"],
    [{ clients: ["10.128.0.0/9"] }, request("/", [], "GET", "10.127.2.3"), false, "bits within a byte"],
    [{ clients: ["10.128.0.0/9"] }, request("/", [], "GET", "10.200.2.3"), true, "bits within a byte"],
    [{ clients: ["0.0.0.0/0"] }, request("/", [], "GET", "203.0.113.9"), true, "all of IPv4"],
    [{ clients: ["0.0.0.0/0"] }, request("/", [], "GET", "2001:db8::1"), false, "but not IPv6"],
    [{ clients: ["::/0"] }, request("/", [], "GET", "mapped:10.1.2.3"), false, "nor is IPv4 IPv6"],
    [{ clients: ["2001:db8::/33"] }, request("/", [], "GET", "2001:db8:7fff::1"), true, "IPv6"],
    [
      { clients: ["2001:db8::/33"] },
      request("/", [], "GET", "2001:db8:8000::1"),
      false,
      "bits within a byte",
    ],
    [{ clients: ["192.0.2.7"] }, request("/", [], "GET", "192.0.2.7"), true, "one address"],
    [{ clients: ["192.0.2.7"] }, request("/", [], "GET", "192.0.2.6"), false, "and no other"],
    [{ clients: ["::1", "10.0.0.0/8"] }, request("/", [], "GET", "10.0.0.1"), true, "one of several"],
    [{ clients: ["0.0.0.0/0", "::/0"] }, request("/", [], "GET", "unix"), false, "a unix socket has none"],
    [{ methods: ["GET"], queries: [["a", "1"]] }, request("/?a=1"), true, "two kinds"],
    [{ methods: ["GET"], queries: [["a", "1"]] }, request("/?a=2"), false, "of which one fails"],
  ];
  for (const [given, how, want, why] of cases) {
    it(`${JSON.stringify(given)}: ${why}`, () => {
      strictEqual(routeOf(compileList([spec(given)]), how), want ? 1 : 0);
    });
  }

  it("more conditions come first, then order", () => {
    const compiled = compileList([
      spec({ methods: ["GET"] }),
      spec({ methods: ["GET", "POST"], headers: [["A", "1"]] }),
      spec({}),
      spec({ cookies: [["a", "1"]] }),
    ]);
    strictEqual(routeOf(compiled, request("/", ["A: 1"])), 2);
    strictEqual(routeOf(compiled, request("/", ["Cookie: a=1"])), 1);
    strictEqual(routeOf(compiled, request("/", ["Cookie: a=1"], "PUT")), 4);
    strictEqual(routeOf(compiled, request("/", [], "PUT")), 3);
  });

  it("a path whose conditions fail leaves the request to a less specific one", () => {
    const compiled = compileList([
      spec({ path: pathSpec("/a/b"), methods: ["POST"] }),
      spec({ path: pathSpec("/a/{x}"), headers: [["A", "1"]] }),
      spec({ path: pathSpec("/a/"), queries: [["q", "1"]] }),
      spec({ path: pathSpec("~b$"), clients: ["10.0.0.0/8"] }),
      spec({}),
    ]);
    strictEqual(routeOf(compiled, request("/a/b", [], "POST")), 1);
    strictEqual(routeOf(compiled, request("/a/b?q=1", ["A: 1"])), 2);
    strictEqual(routeOf(compiled, request("/a/b?q=1")), 3);
    strictEqual(routeOf(compiled, request("/a/b", [], "GET", "10.0.0.1")), 4);
    strictEqual(routeOf(compiled, request("/a/b")), 5);
  });
});

describe("route: explained", () => {
  it("every candidate is told of, with why not, in the order they are tried", () => {
    const compiled = compileList([
      spec({ path: pathSpec("/a/{x}/c") }),
      spec({ path: pathSpec("/a/b"), methods: ["POST"] }),
      spec({ path: pathSpec("/a/b"), headers: [["A", "1"]], queries: [["a", "1"]] }),
      spec({ path: pathSpec("/a/"), queries: [["a", "1"]] }),
      spec({ path: pathSpec("/a/"), cookies: [["a", "1"]] }),
      spec({ path: pathSpec("/a/"), clients: ["10.0.0.0/8"] }),
      spec({ path: pathSpec("~x") }),
      spec({ path: pathSpec("/b/") }),
      spec({}),
      spec({}),
    ]);
    const tried: [number, RouteVerdict][] = [];
    strictEqual(
      routeOf(compiled, request("/a/b"), { tried: (route, verdict) => void tried.push([route, verdict]) }),
      9,
    );
    deepEqual(tried, [
      [3, RouteVerdict.Header],
      [2, RouteVerdict.Method],
      [1, RouteVerdict.Pattern],
      [4, RouteVerdict.Query],
      [5, RouteVerdict.Cookie],
      [6, RouteVerdict.Client],
      [7, RouteVerdict.Regex],
      [9, RouteVerdict.Chosen],
    ]);
  });
});

describe("route: an expression that takes too long", () => {
  it("decides nothing: the next route must not have what it may be there to refuse", () => {
    const { plan } = compileList(byPath("~a", "")), given = request("/a");
    const { bytes, head, path, pathAt, pathEnd, client, clientAt } = given;
    const tried: RouteVerdict[] = [];
    const seen = { tried: (_: number, verdict: RouteVerdict) => void tried.push(verdict) };
    const found = route(plan, 1, bytes, head, path, pathAt, pathEnd, client, clientAt, () => -40, seen);
    strictEqual(found, UNDECIDED);
    deepEqual(tried, [RouteVerdict.RegexLimit]);
  });
});

describe("capture", () => {
  const cases: [path: string, target: string, want: string[], why: string][] = [
    ["/u/{id}/f/{rest...}", "/u/1/f/x/y", ["1", "x/y"], "named parts"],
    ["/u/{id}/f/{rest...}", "/u/%41%20/f/", ["A ", ""], "decoded"],
    ["/f/{name}.txt", "/f/a.b.txt", ["a.b"], "without the text behind"],
    ["/old/", "/old/a/b", ["a/b"], "what follows a prefix"],
    ["/old/", "/old//a", ["/a"], "all of it"],
    ["=/old", "/old/a/b", ["a/b"], "the slash is nobody's"],
    ["=/old", "/old", [""], "nothing follows"],
    ["=/old", "/old/", [""], "nothing follows"],
    ["", "/a/b", ["a/b"], "any path follows the root"],
    ["", "/", [""], "nothing follows the root"],
  ];
  for (const [path, target, want, why] of cases) {
    it(`${target} by ${path}: ${why}`, () => {
      const compiled = compileList([spec({ path: pathSpec(path) })]), given = request(target);
      const parts = (): string[] =>
        want.map((_, part) =>
          textOf(
            given.path.subarray(given.pathAt + captured[2 * part], given.pathAt + captured[2 * part + 1]),
          )
        );
      strictEqual(routeOf(compiled, given), 1);
      deepEqual(parts(), want);
      captured.fill(-1);
      strictEqual(capture(compiled.plan, 1, given.path, given.pathAt, given.pathEnd), true);
      deepEqual(parts(), want, "and again, later");
    });
  }
});

describe("compileRoutes", () => {
  it("gives each list a router of its own, and the same list the same", () => {
    const one = byPath("/a", "/b"), other = byPath("/b");
    const compiled = compileLists([one, other, one, []]);
    deepEqual(compiled.compiled.routers, [1, 2, 1, 0]);
    strictEqual(routeOf(compiled, request("/b"), undefined, 0), 2);
    strictEqual(routeOf(compiled, request("/b"), undefined, 1), 3);
    strictEqual(compiled.compiled.names.get(3), other[0].name);
  });

  it("keeps a body's limit, however large", () => {
    const limits = [0, 1, 2 ** 30 - 1, 2 ** 30, 10_737_418_241, 2 ** 50];
    const { plan } = compileList(limits.map((bodyBytesMax) => spec({ bodyBytesMax })));
    deepEqual(limits.map((_, index) => bodyBytesMax(plan.routing, index + 1)), limits);
  });
});
