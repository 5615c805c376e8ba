import { deepEqual, doesNotThrow, strictEqual, throws } from "node:assert/strict";
import { describe, it } from "node:test";
import { checkPlan, makePlan, openPlan } from "../../src/plan/plan.ts";
import { NESTED_MAX, NodeAt, type RoutingColumn } from "../../src/plan/routing.ts";
import { compileList, pathSpec, spec } from "../policy/routing_fixture.ts";

/** A route that uses every table. */
function everything() {
  return compileList([spec({
    hosts: ["a.example", "*.b.example"],
    path: pathSpec("/u/{id}/x"),
    headers: [["A", "1"]],
    action: { kind: "redirect", to: "/{id}", status: 308 },
    rewrite: { stripPrefix: "/u", host: "c.example" },
    requestHeaders: { set: { B: "2" }, add: {}, remove: [], rename: {} },
  })]);
}

describe("Plan.routing", () => {
  it("is seen alike by who opens the memory", () => {
    const { plan } = everything(), opened = openPlan(plan.memory);
    deepEqual(opened.routing.sizes, plan.routing.sizes);
    deepEqual(opened.routing.listRoute, plan.routing.listRoute);
    strictEqual(opened.routing.routeStatus[1], 308);
    deepEqual(opened.arena, plan.arena);
  });

  it("is empty when nobody asks for it", () => {
    const none = {
      sockets: 0,
      listeners: 1,
      upstreams: 1,
      servers: 1,
      members: 0,
      probes: 1,
      probeMembers: 0,
    };
    const plan = makePlan(1, { ...none, trusted: 0, accessAll: 0, accessShare: 0, arenaBytes: 8 });
    strictEqual(plan.routing.sizes.routers, 0);
    strictEqual(plan.arena.length, 8);
    doesNotThrow(() => checkPlan(plan));
  });

  const broken: [column: RoutingColumn, row: number, value: number, why: string][] = [
    ["routerAny", 1, 99, "a scope that is not there"],
    ["routerHostMask", 1, 4, "a table of hosts that is no power of two"],
    ["routerHostMask", 1, 63, "more hosts than there are"],
    ["hostExact", 1, 99, "a scope that is not there"],
    ["hostTextBytes", 1, 1 << 20, "a text behind the arena"],
    ["scopeNode", 1, 999, "a node that is not there"],
    ["node", NodeAt.Length + NodeAt.Pattern, 999, "a list that is not there"],
    ["node", NodeAt.Length + NodeAt.TextBytes, 1 << 20, "a text behind the arena"],
    ["node", NodeAt.Length + NodeAt.Span, 999, "children that are not there"],
    ["listRoute", 2, 1, "a list without an end"],
    ["listRoute", 1, 9, "a route that is not there"],
    ["routeUpstream", 1, 1 << 20, "an upstream that is not there"],
    ["routeLocation", 1, 99, "a template that is not there"],
    ["routePartCount", 1, 9, "parts that are not there"],
    ["routeConditionFirst", 1, -1, "conditions before the first"],
    ["routeRequestEditCount", 1, 9, "edits that are not there"],
    ["editTemplate", 1, 99, "a template that is not there"],
    ["templateOpCount", 1, 99, "operations that are not there"],
  ];
  for (const [column, row, value, why] of broken) {
    it(`is refused with ${why} (${column})`, () => {
      const { plan } = everything();
      plan.routing[column][row] = value;
      throws(() => checkPlan(plan), /plan: /);
    });
  }

  it("holds as many nested paths as there can be", () => {
    const PATH_MAX = 2_048; // refused when it is read, if longer
    const nested = Array.from(
      { length: PATH_MAX / 2 - 1 },
      (_, index) => spec({ path: pathSpec(`${"/a".repeat(index + 1)}/`) }),
    );
    strictEqual(2 * PATH_MAX < NESTED_MAX, true);
    doesNotThrow(() => compileList(nested));
  });
});
