import { deepEqual, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import {
  type Address,
  formatAddress,
  ipAddress,
  type LiteralAddress,
} from "../../../src/control/config/address.ts";
import { compile, Identities, type OpenSocket } from "../../../src/control/config/compile.ts";
import { parseFlags } from "../../../src/control/config/flags.ts";
import { Directory } from "../../../src/control/directory.ts";
import { type Plan, ProbeKind } from "../../../src/plan/plan.ts";

/** One process's compiles: identities live as long as it does. */
class Bench {
  readonly identities = new Identities();
  readonly directory = new Directory();
  names: Record<string, string[]> = {};
  #generation = 0;

  compile(...argv: string[]): Plan {
    const parsed = parseFlags([...argv, "--admin", "off"], {});
    if ("problems" in parsed) throw new Error(JSON.stringify(parsed.problems));
    const { config } = parsed;
    const sockets: OpenSocket[] = Object.entries(config.listeners).flatMap(([listener, { bind }]) =>
      bind.map((bind) => ({ listener, bind: bind.text, bound: bind.text, socket: 0 }))
    ).map((socket, index) => ({ ...socket, socket: index }));
    const resolve = (target: Address): readonly LiteralAddress[] =>
      target.kind === "name"
        ? (this.names[target.name] ?? []).flatMap((ip) => ipAddress(ip, target.port) ?? [])
        : [target];
    const input = { config, sockets, generation: ++this.#generation, resolve, patternOf: () => 5 };
    return compile(input, this.identities, this.directory).plan;
  }

  /** Servers of the first upstream, as address -> number, in the Plan's order. */
  servers(plan: Plan): [string, number][] {
    const first = plan.upstreamFirst[1], count = plan.upstreamCount[1];
    return Array.from(plan.upstreamMember.subarray(first, first + count), (server) => [
      formatAddress(plan.arena, plan.serverAddressAt[server]),
      server,
    ]);
  }
}

describe("compile", () => {
  it("a listener leads to its upstream, an upstream to its servers, a server to its address", () => {
    const bench = new Bench();
    const plan = bench.compile("tcp://:1=10.0.0.1:80,[::1]:81,unix:/run/x", "tcp://:2=10.0.0.2:80");
    deepEqual(bench.servers(plan).map(([address]) => address), ["10.0.0.1:80", "[::1]:81", "unix:/run/x"]);
    const second = plan.listenerUpstream[plan.socketListener[1]];
    strictEqual(plan.upstreamCount[second], 1);
    strictEqual(bench.directory.upstreams.get(second)?.name, "tcp://:2");
  });

  it("a server keeps its number when others come and go", () => {
    const bench = new Bench();
    bench.names = { "a.example": ["10.0.0.1", "10.0.0.2"] };
    const before = new Map(bench.servers(bench.compile("tcp://:1=a.example:80,10.9.9.9:80")));
    bench.names = { "a.example": ["10.0.0.2", "10.0.0.3"] };
    const after = new Map(bench.servers(bench.compile("tcp://:1=a.example:80,10.9.9.9:80")));
    strictEqual(after.get("10.0.0.2:80"), before.get("10.0.0.2:80"));
    strictEqual(after.get("10.9.9.9:80"), before.get("10.9.9.9:80"));
    strictEqual(
      [...before.values()].includes(after.get("10.0.0.3:80")!),
      false,
      "a newcomer inherits nobody's",
    );
  });

  it("the same address named twice is two servers, probed once", () => {
    const bench = new Bench();
    const plan = bench.compile("tcp://:1=10.0.0.1:80,10.0.0.1:80", "tcp://:2=10.0.0.1:80");
    const servers = bench.servers(plan).map(([, server]) => server);
    strictEqual(new Set(servers).size, 2);
    strictEqual(bench.directory.current.probes.size, 1);
    strictEqual(plan.probeCount[[...bench.directory.current.probes][0]], 3);
  });

  it("checks that ask differently are different checks", () => {
    const bench = new Bench();
    bench.compile("tcp://:1=10.0.0.1:80", "--health-interval", "5s", "tcp://:2=10.0.0.1:80");
    strictEqual(bench.directory.current.probes.size, 2);
  });

  it("a check has its texts, kind and numbers", () => {
    const bench = new Bench();
    const flags = ["--health-send", "PING\\r\\n", "--health-expect", "PONG", "--health-interval", "2s"];
    const plan = bench.compile("tcp://:1=10.0.0.1:80", ...flags, "--health-fall", "4", "--health-rise", "5");
    strictEqual(plan.probeKind[1], ProbeKind.Text);
    const text = (at: number, bytes: number) => new TextDecoder().decode(plan.arena.slice(at, at + bytes));
    strictEqual(text(plan.probeSendAt[1], plan.probeSendBytes[1]), "PING\r\n");
    strictEqual(text(plan.probeExpectAt[1], plan.probeExpectBytes[1]), "PONG");
    deepEqual([plan.probeIntervalMs[1], plan.probeFall[1], plan.probeRise[1], plan.probePattern[1]], [
      2000,
      4,
      5,
      0,
    ]);
  });

  it("an expression goes by its number; off is no check at all", () => {
    strictEqual(new Bench().compile("tcp://:1=10.0.0.1:80", "--health-expect", "/^\\+P/").probePattern[1], 5);
    const off = new Bench();
    off.compile("tcp://:1=10.0.0.1:80", "--health", "off");
    strictEqual(off.directory.current.probes.size, 0);
  });

  it("a name without an address is an upstream without servers, not an error", () => {
    strictEqual(new Bench().compile("tcp://:1=nowhere.example:80").upstreamCount[1], 0);
  });
});
