// Certificates that change under a Sluice that runs: files put in place, what a client is shown, what the log says
// of it.
import { ok, strictEqual } from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { copyFileSync, readFileSync, renameSync } from "node:fs";
import type { Made } from "./certificates.ts";
import { withConfig } from "./configured.ts";
import type { Sluice } from "./executable.ts";
import { sClient } from "./s_client.ts";
import { echo, Server } from "./servers.ts";
import { until } from "./waiting.ts";

/** A Sluice with TLS before an echo server. */
export async function withEcho(tls: object, test: (sluice: Sluice) => Promise<void>): Promise<void> {
  await using server = await Server.listen(echo);
  const config = {
    listeners: { it: { bind: "tls://127.0.0.1:0", to: "app", tls } },
    upstreams: { app: { servers: [server.address], health: "off" } },
  };
  await withConfig(config, test);
}

const fingerprintOf = (pem: string): string => new X509Certificate(pem).fingerprint256;
export const fingerprint = ({ cert }: Made): string => fingerprintOf(readFileSync(cert, "utf8"));

/** What a client is shown. */
export async function shown(sluice: Sluice, ...words: string[]): Promise<string> {
  const said = await sClient(sluice.port(), words);
  const pem = /-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/.exec(said)?.[0];
  ok(pem !== undefined, said);
  return fingerprintOf(pem);
}

export const linesOf = (sluice: Sluice, level: string): string[] =>
  sluice.log("certificates").filter((line) => line.level === level).map(({ message }) => message);

/** Files were read again for so many times. */
export async function read(sluice: Sluice, times: number): Promise<void> {
  const again = () => linesOf(sluice, "info").filter((line) => /read again/.test(line)).length;
  await until(`files to be read ${times} times`, () => again() >= times);
  strictEqual(again(), times);
}

/** A file is there, as it should be, in one step. */
export function put(from: string, to: string): void {
  copyFileSync(from, `${to}.new`);
  renameSync(`${to}.new`, to);
}
