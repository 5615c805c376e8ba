/**
 * Sets the scene of a measurement: an origin, a proxy before it, each on its core, both gone afterwards.
 */
import { connect } from "node:net";
import { connect as connectTls } from "node:tls";
import { setTimeout as sleep } from "node:timers/promises";
import { type Certificate, SERVER_NAME } from "./certificates.ts";
import { type Child, end, freePort, listening, start } from "./measure.ts";
import { type Proxy, startProxy } from "./peers.ts";
import { tool } from "./tools.ts";

/** Cores under test and of load, when pinned. */
export const PROXY_CORE = 0;
export const LOAD_CORE = 1;

export type Load = { seconds: number; warmupSeconds: number };

/** Warm-up is the same for all. A proxy runs for weeks: what its first seconds cost (compilation, page
 * faults, caches) is not the question here; the line `start` asks about the start. */
export function loadOf(quick: boolean): Load {
  return quick ? { seconds: 2, warmupSeconds: 2 } : { seconds: 5, warmupSeconds: 4 };
}

/** What is behind a proxy: it answers requests, or says back what it is told. */
export type Origin = "origin" | "echo";

/** Starts the origin, gives its port to `use`, and ends it. */
export async function withOrigin<T>(
  core: number | undefined,
  seconds: number,
  use: (origin: number) => Promise<T>,
  which: Origin = "origin",
): Promise<T> {
  const port = await freePort("ORIGIN");
  const command = [tool(which), "--port", String(port), "--seconds", String(seconds)];
  const child = start(command, { deadlineMs: (seconds + 5) * 1000, core });
  try {
    await listening(port, child);
    return await use(port);
  } finally {
    await end(child);
  }
}

/** Starts the origin and a proxy before it, gives the proxy's pid and port to `use`, ends both. */
export function withProxy<T>(
  proxy: Proxy,
  how: { pinned: boolean; threads: number; seconds: number; certificate?: Certificate; origin?: Origin },
  use: (pid: number, port: number) => Promise<T>,
): Promise<T> {
  const loadCore = how.pinned ? LOAD_CORE : undefined;
  return withOrigin(loadCore, how.seconds, async (origin) => {
    const started = await startProxy(proxy, origin, how.threads, {
      deadlineMs: how.seconds * 1000,
      core: how.pinned ? PROXY_CORE : undefined,
      logCore: loadCore,
      certificate: how.certificate,
    });
    try {
      await firstAnswer(started.port, started.child, { tls: proxy.tls });
      return await use(started.child.pid, started.port);
    } finally {
      await started.end();
    }
  }, how.origin);
}

/** True if a request to the port is answered; false if it is refused or ended without an answer. */
function answers(port: number, tls: boolean): Promise<boolean> {
  return new Promise((resolve) => {
    const to = { port, host: "127.0.0.1" };
    const socket = tls
      ? connectTls({ ...to, servername: SERVER_NAME, rejectUnauthorized: false })
      : connect(to);
    const finish = (answered: boolean) => {
      socket.destroy();
      resolve(answered);
    };
    socket.setTimeout(2_000, () => finish(false));
    socket.on(
      tls ? "secureConnect" : "connect",
      () => socket.write("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
    );
    socket.on("data", () => finish(true));
    socket.on("error", () => finish(false));
    socket.on("close", () => finish(false));
  });
}

/** Waits until a request through the port is answered, asking every millisecond. */
export async function firstAnswer(
  port: number,
  child: Child,
  { withinMs = 10_000, tls = false }: { withinMs?: number; tls?: boolean } = {},
): Promise<void> {
  const until = performance.now() + withinMs;
  while (!(await answers(port, tls))) {
    if (child.ended !== undefined) throw new Error(`ended by ${child.ended}: ${child.written.stderr.trim()}`);
    if (performance.now() > until) throw new Error(`answers no request within ${withinMs} ms`);
    await sleep(1);
  }
}
