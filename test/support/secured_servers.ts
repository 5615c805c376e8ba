// A Sluice without TLS of its own before servers that have it, and one request to them.
import { withConfig } from "./configured.ts";
import type { Sluice } from "./executable.ts";
import type { Made } from "./certificates.ts";
import { HttpPeer, statusOf } from "./http_peer.ts";
import type { RequestLine } from "./http_proxy.ts";

export interface Servers {
  /** What the upstream says of it. */
  readonly tls: object;
  /** Further keys of the upstream. */
  readonly upstream?: object;
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs a test with a listener for one upstream of such servers. */
export async function before(
  kind: "http" | "tcp",
  servers: readonly string[],
  { tls, upstream = {}, env = {} }: Servers,
  test: (sluice: Sluice) => Promise<void>,
): Promise<void> {
  const scheme = kind === "http" ? "https" : "tls";
  const targets = servers.map((server) => `${scheme}://${server}`);
  const config = {
    listeners: { it: { bind: `${kind}://127.0.0.1:0`, to: "app" } },
    upstreams: { app: { servers: targets, tls, health: "off", ...upstream } },
  };
  await withConfig(config, test, { env });
}

/** What TlsEnd is told of a certificate. */
export function shows({ chain, key }: Made): string[] {
  return ["--cert", chain, "--key", key];
}

export function get(path = "/"): string {
  return `GET ${path} HTTP/1.1\r\nHost: shop.example\r\n\r\n`;
}

/** One request on a connection of its own. @returns its status, and its record */
export async function ask(
  sluice: Sluice,
  request = get(),
): Promise<{ readonly status: number; readonly record: RequestLine }> {
  const count = sluice.records.length + 1, client = await HttpPeer.connect(sluice.port());
  const { head } = await client.ask(request);
  const record = (await sluice.ended(count))[count - 1] as RequestLine;
  client.end();
  await client.ending();
  return { status: statusOf(head), record };
}
