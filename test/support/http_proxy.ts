// Sluice as a reverse proxy for HTTP, for tests that hold both ends: started from flags or from a file, and
// at the end of each test everything it took is given back.
import { writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { type AccessLine, command, Sluice } from "./executable.ts";
import { Folder } from "./folder.ts";
import { type AnswerTo, HttpOrigin } from "./http_origin.ts";
import { HttpPeer } from "./http_peer.ts";

/** Where nothing is said about it, servers are not checked: every connection carries requests. */
export const ALONE: readonly string[] = ["--reactors", "1", "--health", "off"];

/** An access record of a request, as JSON has it. */
export interface RequestLine extends AccessLine {
  readonly method: string | null;
  readonly target: string | null;
  readonly host: string | null;
  readonly status: number | null;
  readonly route: string | null;
  readonly queue_ms: number | null;
  readonly connect_ms: number | null;
  readonly first_byte_ms: number | null;
  readonly reused: boolean;
  readonly detail: string | null;
}

/** A Sluice and its one server. Clients that `connect` gives are gone at the end of the test. */
export class Proxy {
  readonly sluice: Sluice;
  readonly origin: HttpOrigin;
  readonly #clients: HttpPeer[] = [];

  constructor(sluice: Sluice, origin: HttpOrigin) {
    this.sluice = sluice;
    this.origin = origin;
  }

  get port(): number {
    return this.sluice.port();
  }

  async connect(): Promise<HttpPeer> {
    const client = await HttpPeer.connect(this.port);
    this.#clients.push(client);
    return client;
  }

  /** The records of requests, once there are so many. */
  async records(count: number): Promise<RequestLine[]> {
    return await this.sluice.ended(count) as RequestLine[];
  }

  /** Kept connections are no leak, but they end only when a side wants it: both do now. */
  async finish(): Promise<void> {
    for (const client of this.#clients) client[Symbol.dispose]();
    await this.origin[Symbol.asyncDispose]();
    await this.sluice.finish();
  }
}

/** A test that fails says what Sluice had to say. */
async function runTest(proxy: Proxy, test: (proxy: Proxy) => Promise<void>): Promise<void> {
  try {
    await test(proxy);
    await proxy.finish();
  } catch (error) {
    const { message } = error as Error;
    await sleep(300); // records are on their way
    throw new Error(`${message}; its log:\n${proxy.sluice.stderr.slice(-4_000)}`, { cause: error });
  }
}

/** Runs a test with a Sluice in front of one server. */
export async function withProxy(
  answer: AnswerTo | undefined,
  test: (proxy: Proxy) => Promise<void>,
  flags: readonly string[] = [],
): Promise<void> {
  await using origin = await HttpOrigin.listen(answer);
  using sluice = await Sluice.start([...ALONE, ...flags, `http://127.0.0.1:0=${origin.address}`]);
  await runTest(new Proxy(sluice, origin), test);
}

/** The same from a configuration file: `listener` and `upstream` are further keys of the only ones, as JSON
 * has them, which is YAML as well. */
export async function withConfiguredProxy(
  answer: AnswerTo | undefined,
  { listener = {}, upstream = {} }: { readonly listener?: object; readonly upstream?: object },
  test: (proxy: Proxy) => Promise<void>,
): Promise<void> {
  using folder = new Folder();
  await using origin = await HttpOrigin.listen(answer);
  const config = {
    reactors: 1,
    listeners: { web: { bind: "http://127.0.0.1:0", to: "app", ...listener } },
    upstreams: { app: { servers: [origin.address], health: "off", ...upstream } },
  };
  writeFileSync(folder.at("sluice.yaml"), JSON.stringify(config));
  const run = [...command("executable"), "run", "-c", folder.at("sluice.yaml")];
  using sluice = await Sluice.start([], { command: run });
  await runTest(new Proxy(sluice, origin), test);
}

/** What a server is told by default of a client at 127.0.0.1 that nobody trusts; `via` came with the request. */
export function told(port: number, host: string, via = ""): string {
  return [
    "X-Forwarded-For: 127.0.0.1",
    "X-Forwarded-Proto: http",
    ...(host === "" ? [] : [`X-Forwarded-Host: ${host}`]),
    `X-Forwarded-Port: ${port}`,
    "X-Real-IP: 127.0.0.1",
    `Via: ${via === "" ? "" : `${via}, `}1.1 sluice`,
    "X-Request-ID: *",
    "",
  ].join("\r\n");
}

/** With the request's number, which is random, replaced. */
export function masked(text: string): string {
  return text.replace(/^X-Request-ID: [0-9a-f]{32}\r$/m, "X-Request-ID: *\r");
}
