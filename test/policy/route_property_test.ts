// Routes by chance against the plainest router there is: it looks at every route, by the rules as the header
// of policy/route.ts has them.
import { strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { RouteSpec } from "../../src/control/config/routes.ts";
import { compileList, pathSpec, request, routeOf, spec } from "./routing_fixture.ts";

/** How specific a host is that fits: more is more; -1: it does not fit. */
function hostScore(hosts: readonly string[], host: string): number {
  const scores = hosts.map((name) => {
    if (name === host) return 1000;
    return name.startsWith("*.") && host.endsWith(name.slice(1)) && host.length > name.length - 1
      ? name.length
      : -1;
  });
  return hosts.length === 0 ? 0 : Math.max(...scores);
}

/** Whether a path fits, and its rank as numbers to be compared in turn, less is tried first. */
function pathRank(path: RouteSpec["path"], target: string): number[] | undefined {
  switch (path.kind) {
    case "any":
      return [3];
    case "regex":
      return new RegExp(path.source).test(target) ? [2] : undefined;
    case "exact":
      return target === path.text ? [0] : undefined;
    case "prefix": {
      const fits = target === path.text ||
        target.startsWith(path.text.endsWith("/") ? path.text : `${path.text}/`);
      return !fits ? undefined : path.text === "/" ? [3] : [1, -path.text.length, 1];
    }
    case "pattern": {
      const source = path.text.replaceAll(".", "\\.").replace(/\{[a-z]+\}/g, "[^/]+").replace(
        /\{[a-z]+\\\.\\\.\\\.\}/,
        ".*",
      );
      if (!new RegExp(`^${source}$`).test(target)) return undefined;
      const text = path.text.replace(/\{[^}]*\}/g, "").length;
      return [1, -path.text.indexOf("{"), 0, -text, path.text.includes("...") ? 1 : 0];
    }
  }
}

function conditionsHold(route: RouteSpec, method: string, header: string, query: string): boolean {
  return (route.methods.length === 0 || route.methods.includes(method)) &&
    route.headers.every(([, value]) => value === header) &&
    route.queries.every(([, value]) => value === query);
}

function reference(
  routes: readonly RouteSpec[],
  host: string,
  target: string,
  method: string,
  header: string,
  query: string,
): number {
  let best: { rank: number[]; number: number } | undefined;
  routes.forEach((route, index) => {
    const score = hostScore(route.hosts, host), path = pathRank(route.path, target);
    if (score < 0 || path === undefined || !conditionsHold(route, method, header, query)) return;
    const conditions = Math.min(route.methods.length, 1) + route.headers.length + route.queries.length;
    const rank = [-score, ...path, ...Array(5 - path.length).fill(0), -conditions, index];
    if (best === undefined || less(rank, best.rank)) best = { rank, number: index + 1 };
  });
  return best?.number ?? 0;
}

function less(a: readonly number[], b: readonly number[]): boolean {
  const at = a.findIndex((number, index) => number !== b[index]);
  return at !== -1 && a[at] < b[at];
}

const segment = fc.constantFrom("a", "b", "ab", "abc", "b.c", "");
const path = fc.array(segment, { minLength: 1, maxLength: 4 }).map((segments) => `/${segments.join("/")}`);
const host = fc.constantFrom("a", "x.a", "y.x.a", "xa", "b", "y.b");
const patternPart = fc.constantFrom("a", "b", "ab", "{}", "{}", "x{}", "{}c", "");
const pattern = fc.tuple(fc.array(patternPart, { maxLength: 3 }), fc.constantFrom("{}", "{...}")).map(
  ([parts, last]) => {
    let name = 0;
    const text = `/${[...parts, last].join("/")}`;
    return text.replace(/\{(\.\.\.)?\}/g, (_, rest = "") => `{${"pqrstu"[name++]}${rest}}`);
  },
);
const anyPath = fc.oneof(
  { weight: 1, arbitrary: fc.constant("") },
  { weight: 4, arbitrary: path },
  { weight: 4, arbitrary: path.map((text) => `=${text}`) },
  { weight: 4, arbitrary: path.map((text) => `${text}/`) },
  { weight: 4, arbitrary: pattern },
  { weight: 1, arbitrary: fc.constantFrom("~a", "~b$", "~^/ab") },
);
const hosts = fc.oneof(
  fc.constant([]),
  fc.array(fc.oneof(host, host.map((name) => `*.${name}`)), { minLength: 1, maxLength: 3 }),
);
const route = fc.record({
  path: anyPath,
  hosts,
  methods: fc.constantFrom([], [], ["GET"], ["POST", "FOO"]),
  headers: fc.constantFrom([], [], [], [["X-H", "1"] as const]),
  queries: fc.constantFrom([], [], [], [["q", "1"] as const]),
}).map((given) => spec({ ...given, path: pathSpec(given.path) }));
const asked = fc.record({
  host,
  path,
  method: fc.constantFrom("GET", "POST", "FOO"),
  header: fc.constantFrom("1", "2"),
  query: fc.constantFrom("1", "2"),
});

describe("route", () => {
  it("chooses what looking at every route chooses", () => {
    const chosen = new Set<number>();
    fc.assert(
      fc.property(
        fc.array(route, { minLength: 1, maxLength: 24, size: "max" }),
        fc.array(asked, { minLength: 8, maxLength: 8 }),
        (routes, all) => {
          const compiled = compileList(routes);
          for (const { host, path, method, header, query } of all) {
            const given = request(`${path}?q=${query}`, [`Host: ${host}`, `X-H: ${header}`], method);
            const want = reference(routes, host, path, method, header, query);
            strictEqual(routeOf(compiled, given), want);
            chosen.add(want);
          }
        },
      ),
      { seed: 20_260, numRuns: 1_500 },
    );
    strictEqual(chosen.size > 20, true, "nearly every place of a list is chosen at times");
  });

  it("finds each of ten thousand routes, and none for what is between them", () => {
    const routes = Array.from({ length: 10_000 }, (_, index) => {
      const text = `/s${index % 100}/r${index}`;
      return spec({ path: pathSpec(index % 3 === 0 ? text : index % 3 === 1 ? `${text}/` : `${text}/{id}`) });
    });
    const compiled = compileList(routes);
    for (let index = 0; index < routes.length; index += 7) {
      const below = ["", "/x/y", "/x"][index % 3];
      strictEqual(routeOf(compiled, request(`/s${index % 100}/r${index}${below}`)), index + 1);
      strictEqual(routeOf(compiled, request(`/s${index % 100}/r${index}x${below}`)), 0);
    }
  });

  it("finds each of ten thousand hosts", () => {
    const routes = Array.from(
      { length: 10_000 },
      (_, index) => spec({ hosts: [`${index % 2 === 0 ? "" : "*."}h${index}.example`] }),
    );
    const compiled = compileList(routes);
    for (let index = 0; index < routes.length; index += 7) {
      strictEqual(
        routeOf(compiled, request("/", [`Host: ${index % 2 === 0 ? "" : "w."}H${index}.example`])),
        index + 1,
      );
      strictEqual(routeOf(compiled, request("/", [`Host: h${index}x.example`])), 0);
    }
  });
});
