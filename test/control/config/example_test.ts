// The example of the documentation is one that works: it is read, compiled, and nothing is said about it.
import { deepEqual } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import type { LiteralAddress } from "../../../src/control/config/address.ts";
import { compile, Identities } from "../../../src/control/config/compile.ts";
import { parseRun } from "../../../src/control/config/run.ts";
import { Directory } from "../../../src/control/directory.ts";
import { NONE } from "../../../src/base/limits.ts";
import { RouteAction } from "../../../src/plan/routing.ts";
import { among } from "./files.ts";

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
