// `sluice demo`: three tiny servers in this process, the real load balancer in front of them, a little
// traffic, and a story: a server stops, is ejected after three failed checks, starts again, comes back.
import { type AddressInfo, createServer } from "node:net";
import { request } from "node:http";
import process from "node:process";
import { App, type Parts, StartError } from "./app.ts";
import { didYouMean, quoted } from "./config/errors.ts";
import { parseFlags } from "./config/flags.ts";
import { readCount, readDuration } from "./config/units.ts";
import { Backend } from "./demo_backend.ts";
import { DemoView, type Row } from "./demo_view.ts";
import { Output } from "./output.ts";

const NAMES = ["red", "green", "blue"];
const FIRST_PORT = 8080;
/** Ports tried when nobody asked for one. */
const PORTS_TRIED = 100;
const REQUEST_EVERY_MS = 20;
const REQUEST_TIMEOUT_MS = 2_000;
const DRAW_EVERY_MS = 100;
/** The story, so that all of it fits into ten seconds. */
const BEFORE_STOP_MS = 2_000;
const BEFORE_START_MS = 1_500;
/** Between the end of one round and the next. */
const BETWEEN_ROUNDS_MS = 8_000;
const FLUSH_MS = 500;

const FLAGS = [
  ...["--health-interval", "500ms", "--health-timeout", "250ms", "--health-fall", "3", "--health-rise", "2"],
  ...["--reactors", "2", "--max-connections", "1000", "--connect-timeout", "500ms", "--drain-timeout", "0s"],
  ...["--admin", "off", "--access-log", "off", "--log-level", "error"],
];

interface DemoOptions {
  /** Infinity: until Ctrl-C. */
  readonly forMs: number;
  readonly port: number | undefined;
}

/**
 * Runs until Ctrl-C, or for as long as `--for` says.
 * @param argv what follows `demo`
 * @returns the exit status: 0 well, 1 it could not start, 2 a mistake on the command line
 */
export async function demo(argv: readonly string[], parts: Parts): Promise<number> {
  const options = readOptions(argv);
  if (typeof options === "string") return fail(options, 2);
  const port = await findPort(options.port);
  if (port === undefined) {
    return fail(
      options.port === undefined
        ? `no free port from ${FIRST_PORT} to ${FIRST_PORT + PORTS_TRIED - 1}; give one with --port`
        : `--port: ${options.port} is in use or not for this user; choose another one`,
      1,
    );
  }
  const stop = new AbortController();
  const end = () => stop.abort();
  process.on("SIGINT", end).on("SIGTERM", end);
  const backends = await Promise.all(NAMES.map((name) => Backend.start(name)));
  try {
    return await run(port, options.forMs, backends, parts, stop);
  } catch (error) {
    if (error instanceof StartError) return fail(error.lines.join("\nsluice: "), error.status);
    throw error;
  } finally {
    for (const backend of backends) backend.stop();
    process.off("SIGINT", end).off("SIGTERM", end);
  }
}

async function run(
  port: number,
  forMs: number,
  backends: readonly Backend[],
  parts: Parts,
  stop: AbortController,
): Promise<number> {
  const targets = backends.map(({ address }) => address).join(",");
  const parsed = parseFlags([`tcp://127.0.0.1:${port}=${targets}`, ...FLAGS], {});
  if ("problems" in parsed) throw new Error(`demo: its own flags are refused: ${parsed.problems[0].what}`);
  const app = await App.start({ ...parts, config: parsed.config, raw: parsed.raw });
  const output = Output.standard("stdout");
  const traffic = new Traffic(port);
  const rows = () => rowsOf(app, backends);
  const view = new DemoView(output, intro(port, backends));
  const tell = (event: string) => view.happened(event, rows(), traffic.failed);

  const requests = setInterval(() => traffic.request(), REQUEST_EVERY_MS);
  const drawing = setInterval(() => {
    view.draw(rows(), traffic.failed);
    if (output.failure === "EPIPE") stop.abort(); // nobody reads any more
  }, DRAW_EVERY_MS);
  const ending = forMs === Infinity ? undefined : setTimeout(() => stop.abort(), forMs);
  let died: number | undefined;
  void app.done.then((status) => {
    died = status;
    stop.abort();
  });

  await story(app, backends, tell, stop.signal);
  clearInterval(requests);
  clearInterval(drawing);
  clearTimeout(ending);
  if (died === undefined) tell("the demo ends");
  await app.end();
  await output.flush(FLUSH_MS);
  return died ?? 0;
}

/** One server after the other is stopped, ejected, started and taken back, until `signal` is aborted. */
async function story(
  app: App,
  backends: readonly Backend[],
  tell: (event: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const isDown = ({ address }: Backend) => serverOf(app, address)?.health === "down";
  tell("traffic begins: the servers take turns");
  await sleep(BEFORE_STOP_MS, signal);
  for (let round = 1; !signal.aborted; round++) {
    const backend = backends[round % backends.length];
    backend.stop();
    tell(`${backend.name} stops; requests that come to it are tried with another server`);
    await until(() => isDown(backend), signal);
    if (signal.aborted) return;
    const why = serverOf(app, backend.address)?.why?.reason ?? "unknown";
    tell(`${backend.name} is ejected: ${why}, 3 checks in a row`);
    await sleep(BEFORE_START_MS, signal);
    if (signal.aborted) return;
    await backend.start();
    tell(`${backend.name} starts again`);
    await until(() => !isDown(backend), signal);
    if (signal.aborted) return;
    tell(`${backend.name} is back: 2 checks in a row passed`);
    await sleep(BETWEEN_ROUNDS_MS, signal);
  }
}

/** Requests through the load balancer, each on a connection of its own. */
class Traffic {
  failed = 0;
  readonly #port: number;

  constructor(port: number) {
    this.#port = port;
  }

  request(): void {
    let over = false;
    const fails = () => {
      if (!over) this.failed++;
      over = true;
    };
    const where = { host: "127.0.0.1", port: this.#port, agent: false, timeout: REQUEST_TIMEOUT_MS } as const;
    const sent = request(where, (answer) => {
      answer.resume();
      answer.on("end", () => over = true);
      answer.on("error", fails);
    });
    sent.on("timeout", () => sent.destroy());
    sent.on("error", fails);
    sent.end();
  }
}

function rowsOf(app: App, backends: readonly Backend[]): Row[] {
  return backends.map(({ name, address, isRunning, answers }) => ({
    name,
    address,
    isRunning,
    answers,
    health: serverOf(app, address)?.health ?? "unchecked",
  }));
}

function serverOf(app: App, address: string) {
  return app.status().upstreams[0]?.servers.find((server) => server.address === address);
}

function intro(port: number, backends: readonly Backend[]): string[] {
  const url = `http://127.0.0.1:${port}/`;
  return [
    `Sluice listens on 127.0.0.1:${port} and balances over ${backends.length} servers in this process, as by`,
    `  sluice tcp://127.0.0.1:${port}=${backends.map(({ address }) => address).join(",")}`,
    "Try, in another terminal:",
    `  curl ${url}`,
    `  for i in 1 2 3 4 5 6; do curl -s ${url}; done`,
    "Ctrl-C ends.",
    "",
  ];
}

/** The options, or what is wrong with them. */
function readOptions(argv: readonly string[]): DemoOptions | string {
  let forMs = Infinity, port: number | undefined;
  for (let at = 0; at < argv.length; at++) {
    const [name, inline] = argv[at].split(/=(.*)/s, 2);
    if (name !== "--for" && name !== "--port") {
      const remedy = didYouMean(name, ["--for", "--port"], "demo takes --for DURATION and --port N");
      return `${quoted(name)} is not known to demo; ${remedy}`;
    }
    const value = inline ?? argv[++at];
    if (value === undefined) return `${name}: no value; write ${name} ${name === "--for" ? "10s" : "8080"}`;
    const reading = name === "--for"
      ? readDuration(value, { min: 100, max: 86_400_000 })
      : readCount(value, { min: 1, max: 65_535 });
    if (!reading.ok) return `${name}: ${reading.what}; ${reading.remedy}`;
    if (name === "--for") forMs = reading.value;
    else port = reading.value;
  }
  return { forMs, port };
}

/** The port that was asked for, or the first free one; undefined when it cannot be had. */
async function findPort(asked: number | undefined): Promise<number | undefined> {
  if (asked !== undefined) return await isFree(asked) ? asked : undefined;
  for (let port = FIRST_PORT; port < FIRST_PORT + PORTS_TRIED; port++) if (await isFree(port)) return port;
  return undefined;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => {
      const { port: bound } = server.address() as AddressInfo;
      server.close(() => resolve(bound === port));
    });
  });
}

function fail(line: string, status: 1 | 2): number {
  process.stderr.write(`sluice: ${line}\n`);
  return status;
}

/** Resolves after `ms`, or as soon as `signal` is aborted. */
function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
  });
}

async function until(condition: () => boolean, signal: AbortSignal): Promise<void> {
  while (!signal.aborted && !condition()) await sleep(DRAW_EVERY_MS / 2, signal);
}
