// Sluice with limits before an echo server, and clients that come from several addresses.
import { ok } from "node:assert/strict";
import { withConfig } from "./configured.ts";
import type { Sluice } from "./executable.ts";
import { Peer } from "./peer.ts";
import { echo, Server } from "./servers.ts";

export const ONE = "127.0.0.1", OTHER = "127.0.0.2", NEIGHBOUR = "127.0.1.1";

export interface Layout {
  readonly reactors: number;
  readonly accept: "balanced" | "reuseport";
}

export const LAYOUTS: readonly Layout[] = [
  { reactors: 1, accept: "balanced" },
  { reactors: 2, accept: "balanced" },
  { reactors: 2, accept: "reuseport" },
];

/** Clients of the test under way: at its end they leave. */
export const clients: Peer[] = [];

/** Sluice before an echo server, with these keys of the listener. */
export async function withEcho(
  listener: object,
  test: (sluice: Sluice) => Promise<void>,
  { layout = LAYOUTS[0], command }: { layout?: Layout; command?: string[] } = {},
): Promise<void> {
  await using server = await Server.listen(echo);
  const config = {
    ...layout,
    listeners: { in: { bind: "tcp://127.0.0.1:0", to: "u", ...listener } },
    upstreams: { u: { servers: [server.address], health: "off" } },
  };
  const whole = async (sluice: Sluice): Promise<void> => {
    await test(sluice);
    for (const client of clients.splice(0)) client.reset();
  };
  await withConfig(config, whole, command === undefined ? {} : { command });
}

/** What becomes of a client: it is served, or how its connection ends. */
export async function come(sluice: Sluice, from = ONE): Promise<Peer | "reset" | "fin"> {
  const client = await Peer.connect(sluice.port(), from).catch(() => "reset" as const);
  if (client === "reset") return client;
  clients.push(client);
  const said = await client.ask("hi").catch(() => undefined);
  return said === "hi" ? client : await client.ending();
}

export async function served(sluice: Sluice, from = ONE): Promise<Peer> {
  const client = await come(sluice, from);
  ok(client instanceof Peer, `${from} is served, not ended by ${String(client)}`);
  return client;
}

/** What explain says is counted, by the name of the limit. */
export async function told(sluice: Sluice, from = ONE): Promise<Record<string, string>> {
  const { admission } = await sluice.explain(`to=tcp://127.0.0.1:${sluice.port()}&from=${from}`);
  return Object.fromEntries(admission!.steps.map(({ name, text }) => [name, text]));
}

export async function untilNobody(sluice: Sluice): Promise<void> {
  await sluice.until("nobody to be connected", ({ listeners }) => listeners[0].connections.now === 0);
}

export function refusedOf(sluice: Sluice): Promise<Record<string, number>> {
  return sluice.status().then(({ listeners }) => ({ ...listeners[0].refused }));
}
