// Explain and reality are one, of who is let in: listeners with lists and limits by chance, clients that come and go,
// and before each comes, what the running process says would become of it, and what the file alone says.
import { equal, ok } from "node:assert/strict";
import { before, describe, it } from "node:test";
import fc from "fast-check";
import type { Explanation } from "../../src/control/explain/explanation.ts";
import { answerTo, openRoom, worldOf } from "../control/explain/explain_fixture.ts";
import { withConfig } from "../support/configured.ts";
import type { Sluice } from "../support/executable.ts";
import { Peer } from "../support/peer.ts";
import { echo, Server } from "../support/servers.ts";

const SEED = 70_411;
const CONFIGS = 16;
const COMINGS = 24;

const source = fc.constantFrom("127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.1.1", "127.0.1.2", "127.9.9.9");
const prefix = fc.constantFrom(
  "127.0.0.2",
  "127.0.0.0/30",
  "127.0.1.0/24",
  "127.0.0.0/8",
  "10.0.0.0/8",
  "::/0",
);
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined, freq: 2 });
/** Over within a moment, or not in the time of a test. */
const rate = fc.constantFrom("3/h", "8/h", { rate: "20/h", burst: 2 });
const listener = fc.record({
  deny: maybe(fc.array(prefix.filter((text) => text !== "127.0.0.0/8"), { minLength: 1, maxLength: 2 })),
  allow: maybe(fc.array(prefix, { minLength: 1, maxLength: 3 })),
  limits: fc.record({
    connections: maybe(fc.constantFrom(1, 3, 6)),
    "connections-per-source": maybe(fc.constantFrom<unknown>(1, 3, { count: 2, "prefix-v4": 24 })),
    "new-connections": maybe(fc.oneof(rate, fc.constant("15/h"))),
    "new-connections-per-source": maybe(rate),
    refuse: maybe(fc.constantFrom("reset", "close")),
  }),
  "accept-proxy": maybe(fc.array(prefix, { minLength: 1, maxLength: 2 })),
});
/** Who connects, and whom it tells where a PROXY header is expected. */
const coming = fc.record({
  from: source,
  told: fc.oneof({ weight: 3, arbitrary: source }, fc.constant("local")),
  leaves: fc.boolean(),
});

/** A client that is served, or how its connection ends. */
async function come(port: number, from: string, told: string | null): Promise<Peer | "reset" | "fin"> {
  try {
    const client = await Peer.connect(port, from);
    if (told !== null) {
      await client.send(told === "local" ? "PROXY UNKNOWN\r\n" : `PROXY TCP4 ${told} 127.0.0.1 7 80\r\n`);
    }
    return await client.ask("hi").then(() => client, () => client.ending());
  } catch (error) {
    ok(["ECONNRESET", "EPIPE"].includes((error as NodeJS.ErrnoException).code!));
    return "reset";
  }
}

function live(sluice: Sluice, from: string, told: string | null): Promise<Explanation> {
  const proxied = told === null ? "" : `&proxied=${told}`;
  return sluice.explain(`to=tcp://127.0.0.1:${sluice.port()}&from=${from}${proxied}`);
}

describe("explain, of who is let in", () => {
  before(openRoom);

  it("says what then happens", { timeout: 60_000 }, async () => {
    await using server = await Server.listen(echo);
    const met = new Map<string, number>();
    for (const [number, given] of fc.sample(listener, { seed: SEED, numRuns: CONFIGS }).entries()) {
      const config = {
        reactors: 2,
        listeners: { in: { bind: "tcp://127.0.0.1:0", to: "u", ...given } },
        upstreams: { u: { servers: [server.address], health: "off" } },
      };
      await withConfig(config, async (sluice) => {
        const port = sluice.port(), bound = JSON.stringify(config).replace(':0"', `:${port}"`);
        const world = await worldOf(bound);
        const inside: Peer[] = [];
        for (
          const { from, told: whom, leaves } of fc.sample(coming, { seed: SEED + number, numRuns: COMINGS })
        ) {
          if (leaves && inside.length > 0) {
            inside.shift()!.reset();
            const left = inside.length;
            await sluice.until("it to be gone", ({ listeners }) => listeners[0].connections.now === left);
          }
          const told = given["accept-proxy"] === undefined ? null : whom;
          const said = await live(sluice, from, told), { decision, admission } = said;
          const alone = answerTo(world, [
            `tcp://127.0.0.1:${port}`,
            ...["--from", from],
            ...(told === null ? [] : ["--proxied", told]),
          ]);
          const byLists = ["denied", "not_allowed", "proxy_untrusted"];
          if (byLists.includes(alone.decision.reason ?? "") || byLists.includes(decision.reason ?? "")) {
            equal(alone.decision.reason, decision.reason, "lists are known from the file alone");
          }
          const got = await come(port, from, told);
          const what = `${JSON.stringify(given)} from ${from} for ${told}: ${decision.text}`;
          const isStranger = decision.reason === "proxy_untrusted";
          const verdict = got instanceof Peer ? "server" : isStranger ? "unavailable" : "refused";
          equal(verdict, decision.kind, what);
          equal(admission?.admitted ?? !isStranger, got instanceof Peer, what);
          if (got instanceof Peer) inside.push(got);
          else if (isStranger || given.limits.refuse !== "close") equal(got, "reset", what); // what was said to one that is closed resets it
          const reason = decision.reason ?? "none";
          met.set(reason, (met.get(reason) ?? 0) + 1);
          if (reason === "none") continue;
          const refused = (await sluice.status()).listeners[0].refused;
          ok((refused[reason] ?? 0) > 0, what);
        }
        for (const client of inside) client.reset();
      });
    }
    for (
      const reason of [
        "none",
        "denied",
        "not_allowed",
        "proxy_untrusted",
        "source_limit",
        "source_rate",
        "listener_limit",
        "listener_rate",
      ]
    ) ok((met.get(reason) ?? 0) > 1, `${reason} is never met: ${JSON.stringify([...met])}`);
  });
});
