import { strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import type { RouteSpec } from "../../src/control/config/routes.ts";
import { Edit } from "../../src/plan/routing.ts";
import {
  NO_HOST,
  rewritesPath,
  type TemplateInputs,
  writePath,
  writeTemplate,
} from "../../src/policy/template.ts";
import { FULL } from "../../src/proto/http1_print.ts";
import { FACT_BYTES } from "../../src/base/limits.ts";
import { TlsFact } from "../../src/sys/symbols.ts";
import {
  type Compiled,
  compileList,
  inputsOf,
  latin1,
  pathSpec,
  type Request,
  request,
  routeOf,
  spec,
  textOf,
} from "./routing_fixture.ts";

const LIMIT = 300;

/** What is written between other bytes, which must stay; or the number that says why not. */
function written(write: (out: Uint8Array, at: number, limit: number) => number): string | number {
  const out = new Uint8Array(LIMIT + 20).fill(0x23);
  const end = write(out, 10, LIMIT);
  strictEqual(textOf(out.subarray(0, 10)), "#".repeat(10), "nothing is written before");
  strictEqual(textOf(out.subarray(LIMIT)), "#".repeat(20), "or behind the limit");
  return end < 0 ? end : textOf(out.subarray(10, end));
}

function routed(given: Partial<RouteSpec>, how: Request): Compiled {
  const compiled = compileList([spec(given)]);
  strictEqual(routeOf(compiled, how), 1, "the request takes the route");
  return compiled;
}

/** The inputs of a client that came by TLS, of which this is known. */
function secured(known: Partial<Record<number, string>>): Partial<TemplateInputs> {
  const facts = new Uint8Array(FACT_BYTES + 9), factAt = 9;
  return {
    secure: 1,
    facts,
    factAt,
    slot: 7,
    fact: (slot, which, at, bytes) => {
      strictEqual(slot, 7);
      const told = latin1(known[which] ?? "").subarray(0, bytes);
      facts.set(told, at);
      return told.length;
    },
  };
}

/** A template as the value of a field. */
function fieldValue(
  template: string,
  path: string,
  how: Request,
  more?: Partial<TemplateInputs>,
): string | number {
  const edits = { set: { "X-A": template }, add: {}, remove: [], rename: {} };
  const { plan } = routed({ path: pathSpec(path), requestHeaders: edits }, how);
  const edit = plan.routing.routeRequestEditFirst[1];
  strictEqual(plan.routing.editKind[edit], Edit.Set);
  return written((out, at, limit) =>
    writeTemplate(plan, plan.routing.editTemplate[edit], out, at, limit, inputsOf(how, more))
  );
}

function location(
  to: string,
  path: string,
  how: Request,
  more?: Partial<TemplateInputs>,
): string | number {
  const { plan } = routed({ path: pathSpec(path), action: { kind: "redirect", to, status: 308 } }, how);
  return written((out, at, limit) =>
    writeTemplate(plan, plan.routing.routeLocation[1], out, at, limit, inputsOf(how, more))
  );
}

function rewritten(rewrite: RouteSpec["rewrite"], path: string, how: Request): string | number {
  const { plan } = routed({ path: pathSpec(path), rewrite }, how);
  strictEqual(rewritesPath(plan, 1), true);
  return written((out, at, limit) => writePath(plan, 1, out, at, limit, inputsOf(how)));
}

function host(template: string, path: string, how: Request): string | number {
  const { plan } = routed({ path: pathSpec(path), rewrite: { host: template } }, how);
  return written((out, at, limit) =>
    writeTemplate(plan, plan.routing.routeHostTemplate[1], out, at, limit, inputsOf(how))
  );
}

describe("writeTemplate: values of fields", () => {
  const cases: [template: string, path: string, target: string, want: string, why: string][] = [
    ["gold", "", "/", "gold", "literal"],
    ["", "", "/", "", "nothing"],
    ["caf\u00e9\t!", "", "/", "caf\xc3\xa9\t!", "UTF-8"],
    ["{{id}", "", "/", "{id}", "a brace"],
    ['{{"a":"{host}"}', "", "/", '{"a":"shop.example"}', "braces around a name"],
    ["{host}:{port}", "", "/", "shop.example:8080", "host and port"],
    ["{method} {scheme}", "", "/", "GET http", "method and scheme"],
    ["{client-ip}", "", "/", "192.0.2.1", "the client"],
    ["<{request-id}>", "", "/", "<id-1>", "the request's identity"],
    ["{path}?{query}", "", "/a/b?c=d&e", "/a/b?c=d&e", "path and query"],
    ["[?{query}]", "", "/a", "[]", "no query, no question mark"],
    ["{rest}", "/a/", "/a/b/c", "b/c", "what follows a prefix"],
    ["{id}-{id}", "/u/{id}", "/u/7", "7-7", "a part, twice"],
    ["{id}", "/u/{id}", "/u/%0d%0aX-Evil:%201", "%0D%0AX-Evil:%201", "no line ends in a value"],
    ["{path}", "", "/%0D%0AX:%20y", "/%0D%0AX:%20y", "nor in a path"],
    ["{rest}", "", "/%0a%09%7f%1b", "%0A%09%7F%1B", "nor any control"],
    ["{id}", "/u/{id}", "/u/caf%c3%a9", "caf%C3%A9", "nor what is no ASCII"],
    ["{id}", "/u/{id}", "/u/%22%3c%3e%5e%60%7b%7c%7d", "%22%3C%3E%5E%60%7B%7C%7D", "nor what no URI holds"],
    ["{id}", "/u/{id}", "/u/a%2fb%5cc%25d", "a%2Fb%5Cc%25d", "what stayed encoded is not encoded again"],
    ["{id}", "/u/{id}", "/u/%3F%23%26", "%3F%23&", "as a path has it"],
  ];
  for (const [template, path, target, want, why] of cases) {
    it(`${template} of ${target}: ${why}`, () =>
      strictEqual(fieldValue(template, path, request(target)), want));
  }

  it("says https, no port, and nothing of a client without address", () => {
    const how = request("/");
    strictEqual(fieldValue("{scheme}", "", how, { secure: 1 }), "https");
    strictEqual(fieldValue("[{port}]", "", how, { port: 0 }), "[]");
    strictEqual(fieldValue("[{client-ip}]", "", request("/", [], "GET", "unix")), "[]");
    strictEqual(fieldValue("{client-ip}", "", request("/", [], "GET", "mapped:10.1.2.3")), "10.1.2.3");
    strictEqual(fieldValue("{client-ip}", "", request("/", [], "GET", "2001:db8:0:0::1")), "2001:db8::1");
    strictEqual(fieldValue("[{request-id}]", "", how, { idAt: 0, idEnd: 0 }), "[]");
    const id = latin1("/ab+c=\r\n ");
    strictEqual(fieldValue("{request-id}", "", how, { id, idAt: 0, idEnd: id.length }), "/ab+c=%0D%0A%20");
  });

  it("tells of the client's TLS, and nothing breaks out of the value", () => {
    const how = request("/");
    const cases: [fact: string, want: string, why: string][] = [
      ["TLSv1.3", "TLSv1.3", "as it is"],
      ["", "", "there is none"],
      ['CN=a\\, b,O="c"', 'CN=a\\, b,O="c"', "quotes and backslashes stand in values"],
      ["a\r\nX-Evil: 1\0", "a\\0D\\0AX-Evil: 1\\00", "no line ends"],
      ["caf\xc3\xa9\x7f\t", "caf\\C3\\A9\\7F\\09", "nor what is not visible"],
      ["x".repeat(200), "x".repeat(200), "long"],
      ["y".repeat(FACT_BYTES), "", "what fills its place may have been cut"],
    ];
    for (const [fact, want, why] of cases) {
      const value = fieldValue("[{tls-sni}]", "", how, secured({ [TlsFact.Name]: fact }));
      strictEqual(value, `[${want}]`, why);
    }
    const all = "{tls-version} {tls-cipher} {tls-sni} {client-cert-subject} {client-cert-issuer} " +
      "{client-cert-serial} {client-cert-fingerprint}";
    const facts = {
      [TlsFact.Version]: "1",
      [TlsFact.Cipher]: "2",
      [TlsFact.Name]: "3",
      [TlsFact.Subject]: "4",
      [TlsFact.Issuer]: "5",
      [TlsFact.Serial]: "6",
      [TlsFact.Fingerprint]: "7",
    };
    strictEqual(fieldValue(all, "", how, secured(facts)), "1 2 3 4 5 6 7");
    strictEqual(fieldValue(all, "", how, { ...secured(facts), secure: 0 }), " ".repeat(6), "nobody is asked");
  });

  it("is FULL where a fact does not fit, at every limit", () => {
    const how = request("/"), want = "a\\0Db";
    const edits = { set: { a: "{tls-sni}" }, add: {}, remove: [], rename: {} };
    const { plan } = routed({ requestHeaders: edits }, how);
    const out = new Uint8Array(20), inputs = inputsOf(how, secured({ [TlsFact.Name]: "a\rb" }));
    for (let room = 0; room < want.length; room++) {
      strictEqual(writeTemplate(plan, 1, out, 5, 5 + room, inputs), FULL, `${room}`);
      strictEqual(textOf(out.subarray(5 + room)).replaceAll("\0", ""), "", "nothing behind the limit");
    }
    strictEqual(writeTemplate(plan, 1, out, 5, 5 + want.length, inputs), 5 + want.length);
    strictEqual(textOf(out.subarray(5, 5 + want.length)), want);
  });

  it("is FULL at every limit that is too low", () => {
    const how = request("/u/%20a?x=1"), want = "v=/u/%20a%20a?x=1 shop.example192.0.2.1 8080";
    const template = "v={path}{id}?{query} {host}{client-ip} {port}";
    const edits = { set: { a: template }, add: {}, remove: [], rename: {} };
    const { plan } = routed({ path: pathSpec("/u/{id}"), requestHeaders: edits }, how);
    const out = new Uint8Array(200);
    for (let room = 0; room < want.length; room++) {
      strictEqual(writeTemplate(plan, 1, out, 5, 5 + room, inputsOf(how)), FULL, `${room}`);
      strictEqual(textOf(out.subarray(5 + room)).replaceAll("\0", ""), "", "nothing behind the limit");
    }
    strictEqual(writeTemplate(plan, 1, out, 5, 5 + want.length, inputsOf(how)), 5 + want.length);
    strictEqual(textOf(out.subarray(5, 5 + want.length)), want);
  });
});

describe("writeTemplate: Location", () => {
  const cases: [to: string, path: string, target: string, want: string, why: string][] = [
    ["/new/{rest}", "/old/", "/old/a/b", "/new/a/b", "the rest"],
    ["/new/{rest}?{query}", "/old/", "/old/a?b=c", "/new/a?b=c", "with its query"],
    ["/new/{rest}?{query}", "/old/", "/old/a", "/new/a", "which may be missing"],
    ["/new/{rest}?{query}&c=d", "/old/", "/old/a?b", "/new/a?b&c=d", "with more of one"],
    ["/new/{rest}?{query}&c=d", "/old/", "/old/a", "/new/a?&c=d", "which is no part of the path then"],
    ["https://{host}{path}?{query}", "", "/a?b", "https://shop.example/a?b", "the usual one"],
    ["{scheme}://{host}:{port}{path}", "", "/a", "http://shop.example:8080/a", "with every part"],
    ["/{rest}", "/old/", "/old//evil.example/x", "/evil.example/x", "not to another host"],
    ["/{rest}", "/old/", "/old////evil.example", "/evil.example", "however many slashes"],
    ["/{rest}", "/old/", "/old/%5Cevil.example", "/%5Cevil.example", "nor by a backslash"],
    ["/{rest}", "/old/", "/old/\\evil.example", "/%5Cevil.example", "nor by a backslash"],
    ["/{rest}", "/old/", "/old/%2Fevil.example", "/%2Fevil.example", "nor by an encoded slash"],
    ["{path}", "", "//evil.example/x", "/evil.example/x", "a path may begin with two slashes"],
    ["/n{rest}", "/old/", "/old//a", "/n/a", "elsewhere slashes stay"],
    ["/n/{rest}", "/old/", "/old//a", "/n//a", "elsewhere slashes stay"],
    ["/{rest}", "/old/", "/old/%0d%0aSet-Cookie:a=b", "/%0D%0ASet-Cookie:a=b", "no line ends"],
    ["/{rest}", "/old/", "/old/a%3Fb%23c", "/a%3Fb%23c", "no query or fragment begins in a path"],
    ["/login?next={path}", "", "/a&b=c+d%3Fe", "/login?next=/a%26b%3Dc%2Bd%3Fe", "one parameter in a query"],
    ["/find?q={id}", "/u/{id}", "/u/%26x%3D1%23", "/find?q=%26x%3D1%23", "one parameter in a query"],
    [
      "https://{id}.example/",
      "/t/{id}",
      "/t/evil.example%2F",
      "https://evil.example%2F.example/",
      "no host of its own",
    ],
    [
      "https://{id}.example/",
      "/t/{id}",
      "/t/u@evil.example:80",
      "https://u%40evil.example%3A80.example/",
      "nor this way",
    ],
  ];
  for (const [to, path, target, want, why] of cases) {
    it(`${to} of ${target}: ${why}`, () => strictEqual(location(to, path, request(target)), want));
  }
});

describe("writeTemplate: Location, of the client's TLS", () => {
  const cases: [to: string, fact: string, want: string, why: string][] = [
    ["/a/{tls-sni}/b", "shop.example", "/a/shop.example/b", "what is unreserved"],
    ["/{tls-sni}", "/evil.example/", "/%2Fevil.example%2F", "no slash"],
    ["/a/{tls-sni}", "%2e%2E/?#", "/a/%252e%252E%2F%3F%23", "an escape of its own is none"],
    ["/?q={tls-sni}&b", "1&x=2+\r\n\xff", "/?q=1%26x%3D2%2B%0D%0A%FF&b", "one parameter"],
    ["/#{tls-sni}", "a b", "/#a%20b", "in a fragment"],
  ];
  for (const [to, fact, want, why] of cases) {
    it(`${to} of ${JSON.stringify(fact)}: ${why}`, () => {
      strictEqual(location(to, "", request("/"), secured({ [TlsFact.Name]: fact })), want);
    });
  }

  it("{scheme} is https", () => {
    strictEqual(location("{scheme}://{host}/", "", request("/"), { secure: 1 }), "https://shop.example/");
  });
});

describe("writePath", () => {
  const cases: [rewrite: RouteSpec["rewrite"], path: string, target: string, want: string, why: string][] = [
    [{ stripPrefix: "/api" }, "/api/", "/api/x?q", "/x", "strip"],
    [{ stripPrefix: "/api/" }, "/api/", "/api/x", "/x", "a slash at its end says nothing"],
    [{ stripPrefix: "/api" }, "=/api", "/api", "/", "nothing left is the root"],
    [{ stripPrefix: "/api" }, "", "/apix", "/apix", "only at a border"],
    [{ stripPrefix: "/api" }, "", "/x/api/y", "/x/api/y", "only at the beginning"],
    [{ stripPrefix: "/a b" }, "", "/a%20b/x%20y", "/x%20y", "decoded, and encoded again"],
    [{ stripPrefix: "/api" }, "", "/%61pi/x", "/x", "however it is spelled"],
    [{ stripPrefix: "/api" }, "", "/api//x", "//x", "slashes are not merged"],
    [{ stripPrefix: "/api" }, "", "/y/../api/x", "/x", "dots are resolved"],
    [{ addPrefix: "/v2" }, "", "/x", "/v2/x", "add"],
    [{ addPrefix: "/v2/" }, "", "/x", "/v2/x", "joined with one slash"],
    [{ addPrefix: "/v%202" }, "", "/", "/v%202/", "as it is written"],
    [{ stripPrefix: "/api", addPrefix: "/v2" }, "=/api", "/api/x", "/v2/x", "one for the other"],
    [{ stripPrefix: "/api", addPrefix: "/v2" }, "=/api", "/api", "/v2", "one for the other"],
    [{ path: "/u/{id}/x" }, "/users/{id}", "/users/7", "/u/7/x", "template"],
    [
      { path: "/u/{id}" },
      "/users/{id}",
      "/users/a%3Fb%20%0d%0a",
      "/u/a%3Fb%20%0D%0A",
      "no query begins by it",
    ],
    [{ path: "{path}" }, "", "/a%2Fb/%7Ex/\\{", "/a%2Fb/~x/%5C%7B", "in one spelling"],
  ];
  for (const [rewrite, path, target, want, why] of cases) {
    it(`${JSON.stringify(rewrite)} of ${target}: ${why}`, () => {
      strictEqual(rewritten(rewrite, path, request(target)), want);
    });
  }

  it("is not asked when nothing changes", () => {
    strictEqual(rewritesPath(routed({}, request("/")).plan, 1), false);
  });

  it("is FULL at every limit that is too low", () => {
    const how = request("/api/a%20b"), want = "/v2/a%20b", out = new Uint8Array(40);
    const { plan } = routed({ rewrite: { stripPrefix: "/api", addPrefix: "/v2" } }, how);
    for (let room = 0; room < want.length; room++) {
      strictEqual(writePath(plan, 1, out, 3, 3 + room, inputsOf(how)), FULL, `${room}`);
    }
    strictEqual(writePath(plan, 1, out, 3, 3 + want.length, inputsOf(how)), 3 + want.length);
    const root = routed({ rewrite: { stripPrefix: "/api" } }, request("/api")).plan;
    strictEqual(writePath(root, 1, out, 3, 3, inputsOf(request("/api"))), FULL);
  });
});

describe("writeTemplate: Host", () => {
  const cases: [template: string, path: string, target: string, want: string | number, why: string][] = [
    ["api.internal", "", "/", "api.internal", "literal"],
    ["api.internal:8080", "", "/", "api.internal:8080", "with a port"],
    ["[::1]:80", "", "/", "[::1]:80", "an address"],
    ["{host}:{port}", "", "/", "shop.example:8080", "the client's"],
    ["{id}.internal", "/t/{id}", "/t/a-1", "a-1.internal", "made of a part"],
    ["{id}.internal", "/t/{id}", "/t/a%20b", NO_HOST, "no space"],
    ["{id}.internal", "/t/{id}", "/t/a%0d%0ab", NO_HOST, "no line end"],
    ["{id}.internal", "/t/{id}", "/t/a:80", NO_HOST, "no port before the name ends"],
    ["{id}.internal", "/t/{id}", "/t/u@a", NO_HOST, "no user"],
    ["{id}.internal", "/t/{id}", "/t/a%2fb", NO_HOST, "no path"],
    ["{rest}", "/t/", "/t/", NO_HOST, "not nothing"],
    ["{id}:x", "/t/{id}", "/t/a", NO_HOST, "no such port"],
    ["[{id}]", "/t/{id}", "/t/a-b", NO_HOST, "no such address"],
  ];
  for (const [template, path, target, want, why] of cases) {
    it(`${template} of ${target}: ${why}`, () => strictEqual(host(template, path, request(target)), want));
  }
});

describe("edits", () => {
  it("stand in the Plan in the order they are done: remove, rename, set, add", () => {
    const edits = {
      set: { "X-S": "s{host}" },
      add: { "X-A": "a" },
      remove: ["X-R"],
      rename: { "X-O": "X-N" },
    };
    const how = request("/");
    const { plan } = compileList([spec({ requestHeaders: edits, responseHeaders: edits })]);
    const { routing, arena } = plan;
    for (
      const [first, count] of [
        [routing.routeRequestEditFirst[1], routing.routeRequestEditCount[1]],
        [routing.routeAnswerEditFirst[1], routing.routeAnswerEditCount[1]],
      ]
    ) {
      const text = (at: number, bytes: number): string => textOf(arena.subarray(at, at + bytes));
      const rows = Array.from({ length: count }, (_, index) => {
        const row = first + index, template = routing.editTemplate[row];
        const value = template === 0
          ? ""
          : written((out, at, limit) => writeTemplate(plan, template, out, at, limit, inputsOf(how)));
        return [
          routing.editKind[row],
          text(routing.editNameAt[row], routing.editNameBytes[row]),
          text(routing.editToAt[row], routing.editToBytes[row]),
          value,
        ].join(" ");
      });
      strictEqual(
        rows.join(),
        [
          `${Edit.Remove} X-R  `,
          `${Edit.Rename} X-O X-N `,
          `${Edit.Set} X-S  sshop.example`,
          `${Edit.Add} X-A  a`,
        ]
          .join(),
      );
    }
  });
});
