import { deepEqual, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { routeFindings, type RouteSpec, shadowedRoutes } from "../../../src/control/config/routes.ts";
import { pathSpec, spec } from "../../policy/routing_fixture.ts";

const NO_EDITS = { set: {}, add: {}, remove: [], rename: {} };

function redirect(to: string, path = ""): Partial<RouteSpec> {
  return { path: pathSpec(path), action: { kind: "redirect", to, status: 308 } };
}

function pattern(text: string): Partial<RouteSpec> {
  return { path: { kind: "pattern", text } };
}

const SESSION = "{tls-version} {tls-cipher} {tls-sni} {client-cert-subject} {client-cert-issuer} " +
  "{client-cert-serial} {client-cert-fingerprint}";

describe("routeFindings", () => {
  const bad: [given: Partial<RouteSpec>, want: string][] = [
    [pattern("/a"), "match.path: a pattern without a named part; write exact or prefix"],
    [pattern("/{a}/{a}"), "match.path: {a} is there twice; give each part its own name"],
    [
      pattern("/{a}{b}"),
      'match.path: "/{a}{b}" has two named parts in one segment; put a slash between them',
    ],
    [
      pattern("/{a}-{b}"),
      'match.path: "/{a}-{b}" has two named parts in one segment; put a slash between them',
    ],
    [pattern("/{}"), "match.path: {} is no name; write letters, digits, - and _: {id}, {rest...}"],
    [pattern("/{a b}"), "match.path: {a b} is no name; write letters, digits, - and _: {id}, {rest...}"],
    [pattern("/{a"), 'match.path: "/{a" has a "{" that nothing closes; write "{{" for a brace'],
    [pattern("/{host}"), "match.path: {host} stands for the request's own host; give the part another name"],
    [pattern("/{r...}/a"), "match.path: {r...} is not at the end; put it at the end"],
    [pattern("/a{r...}"), "match.path: {r...} does not begin a segment; put a slash before it"],
    [pattern("{a}"), 'match.path: "{a}" does not begin with a slash; write /{a}'],
    [
      pattern("/{a}/../b"),
      'match.path: "/{a}/../b" has a segment of dots, which no request\'s path has; leave it out',
    ],
    [
      pattern("/{a}/%zz"),
      'match.path: "/{a}/%zz" has a "%" that is no escape; write "%25" for a percent sign',
    ],
    [pattern("/%01{a}"), 'match.path: "/%01{a}" holds a control character; leave it out'],
    [
      pattern(`/${Array.from({ length: 17 }, (_, part) => `{p${part}}`).join("/")}`),
      "match.path: a pattern of 17 named parts; write at most 16",
    ],
    [
      { path: pathSpec("/a/%2e/") },
      'match.path: "/a/%2e/" has a segment of dots, which no request\'s path has; leave it out',
    ],
    [
      { path: pathSpec("/a%00") },
      'match.path: "/a%00" holds %00, which no request\'s path has; leave it out',
    ],
    [{ path: pathSpec("/a?b") }, 'match.path: "/a?b" is more than a path; leave out the query'],
    [
      { path: { kind: "regex", source: "(" } },
      'match.path: "(": missing closing parenthesis; mend the expression',
    ],
    [
      { path: { kind: "regex", source: "x".repeat(5000) } },
      "match.path: an expression of 5000 bytes; write at most 4096",
    ],
    [
      { clients: ["10.1.0.0/8"] },
      "match.client: 10.1.0.0/8 has bits behind its prefix; write 10.0.0.0/8 or 10.1.0.0",
    ],
    [
      { rewrite: { stripPrefix: "api" } },
      'rewrite.strip-prefix: "api" does not begin with a slash; write /api',
    ],
    [
      { rewrite: { addPrefix: "/caf\u00e9" } },
      'rewrite.add-prefix: "/caf\u00e9" is no part of a URI; write /caf%C3%A9',
    ],
    [{ rewrite: { path: "x" } }, 'rewrite.path: "x" is no path; write a path that begins with / or {path}'],
    [
      { rewrite: { path: "{rest}" } },
      'rewrite.path: "{rest}" is no path; write a path that begins with / or {path}',
    ],
    [
      { rewrite: { path: "/a?b" } },
      "rewrite.path: the query is forwarded as it came; leave it out of the path",
    ],
    [
      { rewrite: { path: "/a{query}" } },
      "rewrite.path: the query is forwarded as it came; leave it out of the path",
    ],
    [
      { rewrite: { host: "a b" } },
      'rewrite.host: "a b" is no part of a host; write a host such as shop.example',
    ],
    [{ rewrite: { host: "{path}" } }, "rewrite.host: {path} is no part of a host; leave it out"],
    [redirect("x"), 'redirect.to: "x" leads nowhere; write /PATH, https://HOST/PATH or {scheme}://HOST/PATH'],
    [
      redirect("//evil"),
      'redirect.to: "//evil" leads nowhere; write /PATH, https://HOST/PATH or {scheme}://HOST/PATH',
    ],
    [
      redirect("javascript:x"),
      'redirect.to: "javascript:x" leads nowhere; write /PATH, https://HOST/PATH or {scheme}://HOST/PATH',
    ],
    [
      redirect("{rest}"),
      'redirect.to: "{rest}" leads nowhere; write /PATH, https://HOST/PATH or {scheme}://HOST/PATH',
    ],
    [redirect("/a b"), 'redirect.to: "/a b" is no part of a URI; write /a%20b'],
    [redirect("/a#b#c"), 'redirect.to: "/a#b#c" has two fragments; write "%23" for a # within one'],
    [
      redirect("/a#b{path}#c"),
      'redirect.to: "/a#b{path}#c" has two fragments; write "%23" for a # within one',
    ],
    [{ rewrite: { path: "/a#b" } }, 'rewrite.path: "/a#b" is no part of a URI; write /a%23b'],
    [redirect("/a\r\nb"), 'redirect.to: "/a\\r\\nb" is no part of a URI; write /a%0D%0Ab'],
    [redirect("/{query}"), 'redirect.to: {query} stands before any question mark; write "?{query}"'],
    [
      redirect("https://shop.example{rest}"),
      'redirect.to: {rest} is part of the host there; write "/{rest}"',
    ],
    ...(["https://shop.example{id}", "https://{id}/x", "https://shop.example:{id}/", "https://{id}{host}/"]
      .map(
        (to): [Partial<RouteSpec>, string] => [
          redirect(to, "/t/{id}"),
          'redirect.to: {id} could be any host there; write a domain behind it: "{id}.shop.example"',
        ],
      )),
    [redirect("/{hots}"), 'redirect.to: {hots} stands for nothing; did you mean "host"?'],
    [
      redirect("/{identity}", "/u/{identify}"),
      'redirect.to: {identity} stands for nothing; did you mean "identify"?',
    ],
    [
      redirect("/{rest}", "/u"),
      "redirect.to: {rest} is what follows a prefix, and this route has none; leave it out",
    ],
    [
      pattern("/{tls-sni}"),
      "match.path: {tls-sni} stands for the request's own tls-sni; give the part another name",
    ],
    ...["https://{tls-sni}/", "{scheme}://{client-cert-subject}.example/"].map((
      to,
    ): [Partial<RouteSpec>, string] => {
      const name = /\{[ct][^}]*-[^}]*\}/.exec(to)![0];
      return [redirect(to), `redirect.to: ${name} is part of the host there; write "/${name}"`];
    }),
    [
      { rewrite: { host: "{tls-sni}" } },
      "rewrite.host: {tls-sni} is no part of a host; leave it out",
    ],
    [
      redirect("/{nothing-like-it}", "/u/{id}"),
      "redirect.to: {nothing-like-it} stands for nothing; the names are {id} {host} {path} {query} " +
      `{scheme} {client-ip} {method} {request-id} {port} ${SESSION}; "{{" is a brace`,
    ],
    [
      { requestHeaders: { ...NO_EDITS, set: { "X-A": "a\r\nb" } } },
      'headers.request.set.X-A: "a\\r\\nb" holds a control character; write printable characters',
    ],
    [
      { responseHeaders: { ...NO_EDITS, add: { "X-A": "{x}" } } },
      "headers.response.add.X-A: {x} stands for nothing; the names are {rest} {host} {path} {query} " +
      `{scheme} {client-ip} {method} {request-id} {port} ${SESSION}; "{{" is a brace`,
    ],
  ];
  for (const [given, want] of bad) {
    it(want, () => {
      const flaw = (source: Uint8Array) => source[0] === 0x28 ? "missing closing parenthesis" : undefined;
      const findings = routeFindings(spec(given), flaw);
      deepEqual(findings.map(({ path, what, remedy }) => `${path.join(".")}: ${what}; ${remedy}`), [want]);
      strictEqual(findings[0].severity, "error");
    });
  }

  it("tells of everything at once", () => {
    const findings = routeFindings(spec({
      clients: ["x"],
      rewrite: { path: "x", host: "{x}" },
      ...redirect("x"),
      requestHeaders: { ...NO_EDITS, set: { A: "{x}" }, add: { B: "{y}" } },
    }));
    deepEqual(findings.map(({ path }) => path.join(".")), [
      "match.client",
      "rewrite.path",
      "rewrite.host",
      "redirect.to",
      "headers.request.set.A",
      "headers.request.add.B",
    ]);
  });

  it("finds nothing wrong with what is right", () => {
    const good: Partial<RouteSpec>[] = [
      {},
      pattern("/{a}/x-{b}.y/{c...}"),
      redirect("/x/{rest}", "/y/"),
      redirect("https://{host}{path}?{query}"),
      redirect("https://{host}/login?who={client-cert-subject}&how={tls-version}"),
      redirect("https://{tenant}.example/", "/t/{tenant}"),
      redirect("https://www-{tenant}.example:8443/", "/t/{tenant}"),
      redirect("https://shop.example/{id}", "/t/{id}"),
      redirect("{scheme}://{host}:{port}/", "/a"),
      { rewrite: { stripPrefix: "/a", addPrefix: "/b%20c" }, clients: ["::/0"] },
      { rewrite: { path: "{path}", host: "{host}.internal:80" } },
    ];
    for (const given of good) deepEqual(routeFindings(spec(given)), []);
  });
});

describe("shadowedRoutes", () => {
  const cases: [routes: Partial<RouteSpec>[], want: string[], why: string][] = [
    [[{}, {}], ["1 by 0"], "the same twice"],
    [[{ path: pathSpec("/a") }, { path: pathSpec("/a") }], ["1 by 0"], "the same path"],
    [[{ path: pathSpec("/a%20b") }, { path: pathSpec("/a b") }], ["1 by 0"], "spelled otherwise"],
    [[{}, { path: pathSpec("/") }], ["1 by 0"], "/ is any"],
    [[pattern("/{a}"), pattern("/{b}")], ["1 by 0"], "names of parts do not count"],
    [[pattern("/{a}"), pattern("/{b...}")], [], "a rest is more"],
    [[{}, { path: pathSpec("/a") }], [], "the more specific is tried first"],
    [[{ methods: ["GET"] }, {}], [], "what is left"],
    [[{}, { methods: ["GET"] }], [], "more conditions are tried first"],
    [[{ methods: ["GET", "PUT"] }, { methods: ["GET"] }], ["1 by 0"], "some of its methods"],
    [[{ methods: ["GET"] }, { methods: ["GET", "PUT"] }], [], "one more method"],
    [
      [{ methods: ["GET"] }, { methods: ["PUT"] }, { methods: ["PUT", "GET"] }],
      ["2 by 1"],
      "all methods gone",
    ],
    [[{ hosts: ["a", "b"] }, { hosts: ["b"] }], ["1 by 0"], "one of its hosts"],
    [[{ hosts: ["a"] }, { hosts: ["a", "b"] }], [], "another host"],
    [[{ hosts: ["a"] }, {}], [], "every other host"],
    [[{ headers: [["A", "1"]] }, { headers: [["a", "1"]] }], ["1 by 0"], "names of fields have no case"],
    [[{ headers: [["A", "1"]] }, { headers: [["A", "2"]] }], [], "another value"],
    [[{ clients: ["10.0.0.0/8"] }, { clients: ["10.0.0.0/8"] }], ["1 by 0"], "the same clients"],
    [[{ clients: ["10.0.0.0/8"] }, { clients: ["11.0.0.0/8"] }], [], "other clients"],
    [
      [{ queries: [["a", "1"], ["b", "2"]] }, { queries: [["b", "2"], ["a", "1"]] }],
      ["1 by 0"],
      "in another order",
    ],
  ];
  for (const [routes, want, why] of cases) {
    it(why, () => {
      const list = routes.map((given, index) => spec({ ...given, name: `${index}` }));
      deepEqual(shadowedRoutes(list).map(({ route, by }) => `${route} by ${by}`), want);
    });
  }
});
