// The examples: http.yaml works, is read, compiled, and nothing is said about it. sluice.yaml is the whole format,
// of which this version refuses what its first lines say, and nothing else.
import { deepEqual, equal, ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { after, describe, it } from "node:test";
import type { LiteralAddress } from "../../../src/control/config/address.ts";
import { checkConfig } from "../../../src/control/config/check.ts";
import { compile } from "../../../src/control/config/compile.ts";
import { Identities } from "../../../src/control/config/parts.ts";
import { formatProblems, NOT_SUPPORTED } from "../../../src/control/config/errors.ts";
import { readConfigFile } from "../../../src/control/config/file.ts";
import { type Path, valueAt } from "../../../src/control/config/finding.ts";
import { parseRun } from "../../../src/control/config/run.ts";
import { Directory } from "../../../src/control/directory.ts";
import { Certificates } from "../../support/certificates.ts";
import { NONE } from "../../../src/base/limits.ts";
import { RouteAction } from "../../../src/plan/routing.ts";
import { substitute } from "../../../src/control/config/substitution.ts";
import { among, diskOf } from "./files.ts";

const FILE = new URL("../../../examples/http.yaml", import.meta.url);

/** As long as nothing in the example needs a name server. */
function literal(address: { readonly kind: string }): LiteralAddress[] {
  if (address.kind === "name") throw new Error("the example has a host name");
  return [address as LiteralAddress];
}

describe("examples/http.yaml", () => {
  it("is read and compiled without a warning", () => {
    const parsed = parseRun(["run", "-c", "http.yaml"], among({ "http.yaml": readFileSync(FILE) }));
    if ("problems" in parsed) throw new Error(JSON.stringify(parsed.problems));
    deepEqual(parsed.warnings, []);

    const sockets = Object.entries(parsed.config.listeners).flatMap(([listener, { bind }]) =>
      bind.map(({ text }, socket) => ({ socket, listener, bind: text, bound: text, port: 8080 }))
    );
    const { plan, warnings } = compile(
      { config: parsed.config, generation: 1, sockets, resolve: literal, patternOf: () => 1 },
      new Identities(),
      new Directory(),
    );
    deepEqual(warnings, []);
    const { routeAction, routeUpstream, sizes } = plan.routing;
    const toNobody = [...routeAction.subarray(1, sizes.routes)].flatMap((action, at) =>
      action === RouteAction.Upstream && routeUpstream[at + 1] === NONE ? [at + 1] : []
    );
    deepEqual(toNobody, []);
    deepEqual([...new Set(routeAction.subarray(1, sizes.routes))].sort(), [
      RouteAction.Upstream,
      RouteAction.Redirect,
      RouteAction.Respond,
    ]);
  });
});

const WHOLE = readFileSync(new URL("../../../examples/sluice.yaml", import.meta.url));

/** What is left without a use when a part of it is refused: the listener, the route. */
function wholeOf(path: Path): Path {
  const key = path[path.length - 1];
  if (path[0] !== "listeners") return path;
  if (key === "bind" || key === "forward-proxy") return path.slice(0, 2);
  return key === "split" || key === "files" ? path.slice(0, 4) : path;
}

/** Takes the values at paths out, entries of a list last first. */
function without(raw: unknown, paths: readonly Path[]): unknown {
  const rest = structuredClone(raw);
  for (const path of [...paths].reverse()) {
    const holder = valueAt(rest, path.slice(0, -1)), step = path[path.length - 1];
    if (Array.isArray(holder)) holder.splice(Number(step), 1);
    else if (typeof holder === "object" && holder !== null) delete (holder as Record<string, unknown>)[step];
  }
  return rest;
}

describe("examples/sluice.yaml", () => {
  const file = readConfigFile("sluice.yaml", WHOLE);
  if ("problems" in file) throw new Error(formatProblems(file.problems));
  const { values } = substitute(file.raw, {
    env: {},
    disk: diskOf({
      "/etc/sluice/token": "sixteen-letters-",
      "/etc/sluice/hmac": "AAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    }),
  });
  const raw = values as Record<string, unknown>;
  const made = new Certificates(), { root } = made, web = "shop.example";
  after(() => made[Symbol.dispose]());
  const leaf = made.leaf("redis.example"), own = made.leaf("own.example"), client = made.client("sluice");
  const rsa = made.rsa(web), ec = made.leaf(web);
  const given = {
    ...{ "c.pem": leaf.cert, "k.pem": leaf.key, "rsa.pem": rsa.cert, "rsa.key": rsa.key },
    ...{ "ec.pem": ec.cert, "ec.key": ec.key, "ec.ocsp": made.ocsp(root, ec) },
    ...{
      "client.pem": client.cert,
      "client.key": client.key,
      "internal.pem": root.cert,
      "clients.pem": root.cert,
    },
    ...{ "clients.crl": made.revoked(root, [leaf]), "internal.crl": made.revoked(root, []) },
  };
  const files = Object.fromEntries(Object.entries(given).map(([name, path]) => [name, readFileSync(path)]));
  files["own.pem"] = Buffer.concat([readFileSync(own.cert), readFileSync(own.key)]);
  files["tickets.key"] = randomBytes(160);
  files["/etc/sluice/deny.txt"] = Buffer.from("198.51.100.0/24\n");
  const surroundings = among(files);
  const { findings } = checkConfig(raw, surroundings);

  it("holds nothing wrong but what is not supported in this version", () => {
    ok(findings.length > 0);
    deepEqual(findings.filter(({ what }) => !what.endsWith(` is ${NOT_SUPPORTED}`)), []);
  });

  it("is good without those parts", () => {
    const paths = [
      ...new Map(findings.map(({ path }) => [wholeOf(path).join("\n"), wholeOf(path)])).values(),
    ];
    const { config, findings: left } = checkConfig(without(raw, paths), surroundings);
    deepEqual(left.filter(({ severity }) => severity === "error"), []);
    ok(config !== undefined);
    ok(left.every(({ what }) => what.startsWith("no listener leads to upstream ")), JSON.stringify(left));
    deepEqual(Object.keys(config.listeners), ["postgres", "dns", "redis-tls", "by-name", "web"]);
    equal(config.listeners.web.tls?.acme?.["external-account"]?.["key-id"], "kid-1");
    equal(config.listeners.web.routes.length, 5);
    equal(config.upstreams.api.servers.length, 3);
  });

  it("says in its first lines which parts those are", () => {
    const head = new TextDecoder().decode(WHOLE).split("\n\n", 1)[0];
    const told = new Set(
      head.split("\n").slice(head.split("\n").findIndex((line) => line.includes("of the file")))
        .flatMap((line) => line.replace(/^# +(of [a-z ]+? {2,})?/, "").split(" ")),
    );
    const refused = new Set(
      findings.flatMap(({ path }) => path.includes("bind") ? [] : [String(path[path.length - 1])]),
    );
    const words: readonly string[] = [];
    deepEqual([...told].filter((word) => word !== "" && !words.includes(word)).sort(), [...refused].sort());
  });
});
