/**
 * How each proxy is started: Sluice by its command line, its peers by the templates in peers/.
 * The only file that knows the proxies apart.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { type Child, end, freePort, listening, raiseFileLimit, start, type StartOptions } from "./measure.ts";
import { buildFolder, root, streamModule } from "./tools.ts";

/** Where a proxy is put: between a port of its own and the origin's, with so many threads. */
export type Place = { port: number; origin: number; threads: number };

export type Proxy = {
  name: string;
  /** Its column in the table. */
  column: "sluice" | "haproxy" | "haproxy splice" | "nginx";
  /** Why it cannot be started, if that is known beforehand. */
  missing(): string | undefined;
  /** Writes its configuration, if it has one, and returns its command line. */
  command(place: Place): string[];
};

/** Sluice's arguments, whatever runs them. */
function sluiceArguments(place: Place): string[] {
  const { port, origin, threads } = place;
  return [
    `tcp://127.0.0.1:${port}=127.0.0.1:${origin}`,
    ...["--reactors", String(threads), "--access-log", "off"],
    ...["--health-interval", "10s", "--admin", "off"],
  ];
}

function missingFile(path: string): string | undefined {
  return existsSync(join(root, path)) ? undefined : `${path} does not exist`;
}

export const sluice: Proxy = {
  name: "sluice",
  column: "sluice",
  missing: () => missingFile("dist/sluice"),
  command: (place) => ["dist/sluice", ...sluiceArguments(place)],
};

export const sluiceOnDeno: Proxy = {
  name: "sluice on deno",
  column: "sluice",
  missing: () => missingFile("src/main.ts") ?? missingFile("node_modules/.bin/deno"),
  command: (place) => ["node_modules/.bin/deno", "run", "-A", "src/main.ts", ...sluiceArguments(place)],
};

export const fileLimit = raiseFileLimit();

/** Two files per connection, and 200 for everything else, of which 128 may be pipes. */
const connectionsMax = Math.min(10_000, Math.floor((fileLimit - 200) / 2));

/** Fills a template from peers/ and returns the path of the result. */
function configure(template: string, place: Place, more: Record<string, string | number>): string {
  const values: Record<string, string | number> = {
    PORT: place.port,
    ORIGIN: place.origin,
    THREADS: place.threads,
    ...more,
  };
  const text = readFileSync(join(root, "bench/peers", template), "utf8")
    .replace(/\{\{(\w+)\}\}/g, (_, name: string) => {
      if (!(name in values)) throw new Error(`${template}: no value for ${name}`);
      return String(values[name]);
    });
  const path = join(buildFolder, template);
  writeFileSync(path, text);
  return relative(root, path);
}

function haproxyWith(name: "haproxy" | "haproxy splice", template: string): Proxy {
  return {
    name,
    column: name,
    missing: () => undefined,
    command(place) {
      const path = configure(template, place, { CONNECTIONS: connectionsMax });
      return ["haproxy", "-db", "-q", "-f", path];
    },
  };
}

export const haproxy = haproxyWith("haproxy", "haproxy_tcp.cfg");
export const haproxySplice = haproxyWith("haproxy splice", "haproxy_splice.cfg");

function nginxWith(name: string, buffer: string): Proxy {
  return {
    name,
    column: "nginx",
    missing: () => undefined,
    command(place) {
      const directory = join(buildFolder, "nginx");
      mkdirSync(directory, { recursive: true });
      const template = "nginx_stream.conf";
      configure(template, place, {
        FILES: fileLimit,
        STREAM_MODULE: streamModule,
        BUFFER: buffer,
      });
      return ["nginx", "-e", "stderr", "-p", relative(root, directory), "-c", `../${template}`];
    },
  };
}

/** 16k is nginx's own default for proxy_buffer_size. */
export const nginx = nginxWith("nginx", "16k");
/** For many bytes: twice the default's figure and more; 512k and 1m add nothing to it. */
export const nginxBulk = nginxWith("nginx, 256k buffer", "256k");

export type Started = { child: Child; port: number };

/** Starts a proxy in front of `origin` and waits until it listens. */
export async function startProxy(
  proxy: Proxy,
  origin: number,
  threads: number,
  options: StartOptions,
): Promise<Started> {
  const port = await freePort("PORT");
  const child = start(proxy.command({ port, origin, threads }), options);
  try {
    await listening(port, child);
  } catch (error) {
    await end(child);
    throw error;
  }
  return { child, port };
}
