/**
 * How each proxy is started: Sluice by its command line, its peers by the templates in peers/.
 * The only file that knows the proxies apart.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { type Certificate, filesOf } from "./certificates.ts";
import { type Child, end, freePort, listening, raiseFileLimit, start, type StartOptions } from "./measure.ts";
import { buildFolder, root, streamModule, tool } from "./tools.ts";

/** Where a proxy is put: between a port of its own and the origin's, with so many threads; `sink` is the
 * port of what writes its log, if it needs that; `certificate` is the one it shows if it speaks TLS. */
export type Place = {
  port: number;
  origin: number;
  threads: number;
  sink?: number;
  certificate?: Certificate;
  /** The ports of more origins. */
  more?: readonly number[];
};

export type Proxy = {
  name: string;
  /** Its column in the table. */
  column: "sluice" | "haproxy" | "haproxy splice" | "nginx";
  /** Why it cannot be started, if that is known beforehand. */
  missing(): string | undefined;
  /** Its access log, a file that is there while the proxy runs; without it, it writes none. */
  log?: string;
  /** Its clients speak TLS. */
  tls?: boolean;
  /** They send datagrams: nobody can connect to it. */
  datagrams?: boolean;
  /** It writes no files: what it sends to `place.sink` over TCP goes to `log`. */
  needsSink?: boolean;
  /** Writes its configuration, if it has one, and returns its command line. */
  command(place: Place): string[];
};

/** Sluice's arguments, whatever runs them. */
function sluiceArguments(place: Place, protocol: "tcp" | "http" | "https", log: string): string[] {
  const { port, origin, threads } = place;
  return [
    `${protocol}://127.0.0.1:${port}=127.0.0.1:${origin}`,
    ...["--reactors", String(threads), "--access-log", log],
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
  command: (place) => ["dist/sluice", ...sluiceArguments(place, "tcp", "off")],
};

/** With a limit on new connections of each source. */
export const sluiceLimited: Proxy = {
  ...sluice,
  name: "sluice, limited",
  command: (place) => [
    ...["dist/sluice", ...sluiceArguments(place, "tcp", "off")],
    ...["--new-connections-per-source", "100/s"],
  ],
};

/** Sluice with a limit for each connection. */
export function slowed(rate: string): Proxy {
  return {
    name: `sluice, ${rate}`,
    column: "sluice",
    missing: () => missingFile("dist/sluice"),
    command: (place) => [...sluice.command(place), "--bandwidth-per-connection", rate],
  };
}

const SLUICE_LOG = "bench/.build/sluice.log";

export const sluiceHttp: Proxy = {
  name: "sluice http",
  column: "sluice",
  log: SLUICE_LOG,
  missing: () => missingFile("dist/sluice"),
  command: (place) => ["dist/sluice", ...sluiceArguments(place, "http", SLUICE_LOG)],
};

/** The files a proxy that speaks TLS shows. */
const shown = (place: Place) => filesOf(place.certificate ?? "ecdsa");

export const sluiceHttps: Proxy = {
  name: "sluice https",
  column: "sluice",
  tls: true,
  log: SLUICE_LOG,
  missing: () => missingFile("dist/sluice"),
  command(place) {
    const { chain, key } = shown(place);
    const [listen, ...rest] = sluiceArguments(place, "https", SLUICE_LOG);
    return ["dist/sluice", listen, "--cert", chain, "--key", key, ...rest];
  },
};

/** The routes of `sluiceWithRoutes` are numbered down to 1 from this. */
export const ROUTES_MAX = 10_000;
/** What the route asks for that both ends of the comparison have. */
export const lastRoute = { host: `h${ROUTES_MAX}.example`, path: `/p${ROUTES_MAX}/` };

/** Sluice by a file with so many routes, each with a host and a path of its own. */
export function sluiceWithRoutes(count: number): Proxy {
  const config = `bench/.build/sluice_${count}_routes.yaml`;
  return {
    name: `sluice, ${count} route${count === 1 ? "" : "s"}`,
    column: "sluice",
    log: SLUICE_LOG,
    missing: () => missingFile("dist/sluice"),
    command({ port, origin, threads }) {
      const routes = Array.from({ length: count }, (_, at) => {
        const number = ROUTES_MAX - count + 1 + at;
        return `      - { match: { host: h${number}.example, path: /p${number}/ }, to: api }`;
      });
      const lines = [
        ...["listeners:", "  web:", `    bind: http://127.0.0.1:${port}`, "    routes:", ...routes],
        ...["upstreams:", "  api:", `    servers: [127.0.0.1:${origin}]`],
        "    health: { tcp: true, interval: 10s }",
      ];
      writeFileSync(join(root, config), lines.join("\n") + "\n");
      const globals = ["--reactors", String(threads), "--access-log", SLUICE_LOG, "--admin", "off"];
      return ["dist/sluice", "run", "-c", config, ...globals];
    },
  };
}

/** Upstreams that are configured beside the one that is used, and servers of each; none is checked. */
export const UPSTREAMS = 10_000;
export const SERVERS = 10;

function eachUpstream(print: (number: number, servers: string[]) => string): string {
  const texts: string[] = [];
  for (let number = 0; number < UPSTREAMS; number++) {
    const host = `10.${number >> 8}.${number & 255}`;
    texts.push(print(number, Array.from({ length: SERVERS }, (_, at) => `${host}.${at + 1}:80`)));
  }
  return texts.join("\n");
}

/** Sluice by a file with so many. */
export const sluiceLarge: Proxy = {
  name: `sluice, ${UPSTREAMS} upstreams`,
  column: "sluice",
  missing: () => missingFile("dist/sluice"),
  command: (place) => [...sluiceWithUpstreams(place), "--admin", "off"],
};

/** Where the Sluice of `sluiceReloaded` and `sluiceChecked` is asked. */
export const ADMIN = "unix:bench/.build/admin.sock";

/** The same, to be told to read its file again. */
export const sluiceReloaded: Proxy = {
  ...sluiceLarge,
  name: `sluice, ${UPSTREAMS} upstreams, reloaded`,
  command: (place) => [...sluiceWithUpstreams(place), "--admin", ADMIN],
};

/** Servers that `sluiceChecked` checks. */
export const CHECKED = 1_000;

/** Sluice with so many servers beside the one that is used, all of them checked every two seconds. */
export function sluiceChecked(count: number): Proxy {
  const config = `bench/.build/sluice_${count}_checked.yaml`;
  return {
    name: `sluice, ${count} servers checked`,
    column: "sluice",
    missing: () => missingFile("dist/sluice"),
    command({ port, origin, threads }) {
      const numbers = Array.from({ length: count }, (_, number) => number);
      const lines = [
        ...["listeners:", `  used: { bind: "tcp://127.0.0.1:${port}", to: used }`],
        ...["  web:", "    bind: http://127.0.0.1:0", "    to: used", "    routes:"],
        ...numbers.map((number) => `      - { match: { host: h${number}.example }, to: u${number} }`),
        ...(count === 0 ? ["      []"] : []),
        ...["upstreams:", `  used: { servers: ["127.0.0.1:${origin}"], health: off }`],
        // One address is checked once for all who ask it the same: each asks for a path of its own.
        ...numbers.map((number) =>
          `  u${number}: { servers: ["127.0.0.1:${origin}"], health: { http: GET /${number}, interval: 2s } }`
        ),
      ];
      writeFileSync(join(root, config), lines.join("\n") + "\n");
      const globals = ["--reactors", String(threads), "--access-log", "off", "--admin", ADMIN];
      return ["dist/sluice", "run", "-c", config, ...globals];
    },
  };
}

/** The file with so many upstreams. */
export const UPSTREAMS_FILE = join(root, "bench/.build/sluice_upstreams.yaml");

function sluiceWithUpstreams({ port, origin, threads }: Place): string[] {
  const path = UPSTREAMS_FILE;
  const routes = eachUpstream((number) => `      - { match: { host: h${number}.example }, to: u${number} }`);
  const upstreams = eachUpstream((number, servers) =>
    `  u${number}:\n    health: off\n    servers:\n${servers.map((server) => `      - ${server}`).join("\n")}`
  );
  const lines = [
    ...["listeners:", `  used: { bind: "tcp://127.0.0.1:${port}", to: used }`],
    ...["  web:", "    bind: http://127.0.0.1:0", "    routes:", routes],
    ...["upstreams:", `  used: { servers: ["127.0.0.1:${origin}"], health: off }`, upstreams],
  ];
  writeFileSync(path, lines.join("\n") + "\n");
  return ["dist/sluice", "run", "-c", path, "--reactors", String(threads), "--access-log", "off"];
}

export const haproxyLarge: Proxy = {
  name: `haproxy, ${UPSTREAMS} backends`,
  column: "haproxy",
  missing: () => undefined,
  command(place) {
    const backends = eachUpstream((number, servers) =>
      [`backend u${number}`, ...servers.map((server, at) => `    server s${at} ${server}`)].join("\n")
    );
    const path = configure("haproxy_tcp.cfg", place, { CONNECTIONS: connectionsMax, UPSTREAMS: backends });
    return ["haproxy", "-db", "-q", "-f", path];
  },
};

export const nginxLarge: Proxy = {
  name: `nginx, ${UPSTREAMS} upstreams`,
  column: "nginx",
  missing: () => undefined,
  command(place) {
    const upstreams = eachUpstream((number, servers) =>
      [`    upstream u${number} {`, ...servers.map((server) => `        server ${server};`), "    }"].join(
        "\n",
      )
    );
    return nginxCommand("nginx_stream.conf", place, {
      STREAM_MODULE: streamModule,
      BUFFER: "16k",
      UPSTREAMS: upstreams,
    });
  },
};

/** Sluice for HTTP without its access log. */
export const sluiceHttpSilent: Proxy = {
  name: "sluice http, no log",
  column: "sluice",
  missing: () => missingFile("dist/sluice"),
  command: (place) => ["dist/sluice", ...sluiceArguments(place, "http", "off")],
};

export const sluiceOnDeno: Proxy = {
  name: "sluice on deno",
  column: "sluice",
  missing: () => missingFile("src/main.ts") ?? missingFile("node_modules/.bin/deno"),
  command: (
    place,
  ) => ["node_modules/.bin/deno", "run", "-A", "src/main.ts", ...sluiceArguments(place, "tcp", "off")],
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
    UPSTREAMS: "",
    ADDRESS: "127.0.0.1",
    MORE: "",
    LISTEN: "",
    TO: `127.0.0.1:${place.origin}`,
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

function haproxyWith(column: "haproxy" | "haproxy splice", template: string): Proxy {
  return {
    name: column,
    column,
    missing: () => undefined,
    command(place) {
      const path = configure(template, place, { CONNECTIONS: connectionsMax });
      return ["haproxy", "-db", "-q", "-f", path];
    },
  };
}

export const haproxy = haproxyWith("haproxy", "haproxy_tcp.cfg");
export const haproxySplice = haproxyWith("haproxy splice", "haproxy_splice.cfg");

function haproxyHttpWith(
  name: string,
  how: { splice?: boolean; tls?: boolean; bufferBytes?: number },
): Proxy {
  const { splice, tls, bufferBytes = 16_384 } = how;
  return {
    name,
    column: splice ? "haproxy splice" : "haproxy",
    tls,
    log: "bench/.build/haproxy.log",
    needsSink: true,
    missing: () => undefined,
    command(place) {
      const files = [configure("haproxy_http.cfg", place, {
        CONNECTIONS: connectionsMax,
        SINK: place.sink!,
        SPLICE_PIPES: splice ? "    maxpipes 64\n    tune.pipesize 1048576" : "",
        SPLICE_OPTIONS: splice ? "    option splice-request\n    option splice-response" : "",
        SCHEME: tls ? "https" : "http",
        BIND_TLS: tls ? ` ssl crt ${shown(place).bundle} alpn http/1.1` : "",
      })];
      if (tls) files.unshift(configure("haproxy_tls.cfg", place, { BUFFER: bufferBytes }));
      return ["haproxy", "-db", "-q", ...files.flatMap((path) => ["-f", path])];
    },
  };
}

export const haproxyHttp = haproxyHttpWith("haproxy, http", {});
export const haproxyHttpSplice = haproxyHttpWith("haproxy splice, http", { splice: true });
/** 16,384 is HAProxy's own default for tune.bufsize. */
export const haproxyHttps = haproxyHttpWith("haproxy, https", { tls: true });
export const haproxyHttpsBulk = haproxyHttpWith("haproxy, https, 32k buffer", {
  tls: true,
  bufferBytes: 32_768,
});

/** nginx's command line for a template, filled; pid and temporary files go to a directory of its own. */
function nginxCommand(template: string, place: Place, more: Record<string, string>): string[] {
  const directory = join(buildFolder, "nginx");
  mkdirSync(directory, { recursive: true });
  configure(template, place, { FILES: fileLimit, ...more });
  return ["nginx", "-e", "stderr", "-p", relative(root, directory), "-c", `../${template}`];
}

function nginxWith(name: string, buffer: string): Proxy {
  return {
    name,
    column: "nginx",
    missing: () => undefined,
    command: (place) =>
      nginxCommand("nginx_stream.conf", place, { STREAM_MODULE: streamModule, BUFFER: buffer }),
  };
}

/** 16k is nginx's own default for proxy_buffer_size. */
export const nginx = nginxWith("nginx", "16k");
/** For many bytes: twice the default's figure and more; 512k and 1m add nothing to it. */
export const nginxBulk = nginxWith("nginx, 256k buffer", "256k");

function nginxHttpWith(
  name: string,
  how: { tls?: boolean; tlsBuffer?: string; bulk?: string[] },
): Proxy {
  const { tls, tlsBuffer = "16k", bulk = [] } = how;
  const include = (place: Place) => {
    const { chain, key } = shown(place);
    const files = { CHAIN: join(root, chain), KEY: join(root, key) };
    return configure("nginx_tls.conf", place, { ...files, BUFFER: tlsBuffer });
  };
  return {
    name,
    column: "nginx",
    tls,
    log: "bench/.build/nginx.log",
    missing: () => undefined,
    command: (place) =>
      nginxCommand("nginx_http.conf", place, {
        LOG: "nginx.log",
        BULK: bulk.map((directive) => `            ${directive};`).join("\n"),
        LISTEN_TLS: tls ? " ssl" : "",
        TLS: tls ? `        include ${join(root, include(place))};` : "",
      }),
  };
}

const NGINX_BULK = [
  "proxy_buffering off",
  "proxy_buffer_size 512k",
  "proxy_buffers 4 512k", // unused without buffering, but checked against the size above
  "proxy_request_buffering off",
  "client_body_buffer_size 512k",
];
export const nginxHttp = nginxHttpWith("nginx, http", {});
export const nginxHttpBulk = nginxHttpWith("nginx, http, 512k buffer", { bulk: NGINX_BULK });
/** 16k is nginx's own default for ssl_buffer_size. */
export const nginxHttps = nginxHttpWith("nginx, https", { tls: true });
export const nginxHttpsBulk = nginxHttpWith("nginx, https, 512k buffer", {
  tls: true,
  tlsBuffer: "64k",
  bulk: NGINX_BULK,
});

/** Processes of a proxy that share one port, where one has too few files. */
const PROCESSES = 3;

function originsOf({ origin, more = [] }: Place): string[] {
  return [origin, ...more].map((port) => `127.0.0.1:${port}`);
}

/** They end with the shell's group. */
function several(command: string[]): string[] {
  return ["sh", "-c", `${`${command.join(" ")} & `.repeat(PROCESSES)}wait`];
}

export const sluiceCrowd: Proxy = {
  name: `sluice, ${PROCESSES} processes`,
  column: "sluice",
  missing: () => missingFile("dist/sluice"),
  command(place) {
    const [, ...rest] = sluiceArguments(place, "tcp", "off");
    const listen = `tcp://0.0.0.0:${place.port}=${originsOf(place).join(",")}`;
    return several(["dist/sluice", listen, "--accept", "reuseport", ...rest]);
  },
};

export const haproxyCrowd: Proxy = {
  name: `haproxy, ${PROCESSES} processes`,
  column: "haproxy",
  missing: () => undefined,
  command(place) {
    const [, ...more] = originsOf(place);
    const path = configure("haproxy_tcp.cfg", place, {
      ADDRESS: "0.0.0.0",
      CONNECTIONS: connectionsMax,
      MORE: more.map((origin, at) => `    server more${at} ${origin}`).join("\n"),
    });
    return several(["haproxy", "-db", "-q", "-f", path]);
  },
};

export const nginxCrowd: Proxy = {
  name: `nginx, ${PROCESSES} workers`,
  column: "nginx",
  missing: () => undefined,
  command(place) {
    const servers = originsOf(place).map((origin) => `server ${origin};`).join(" ");
    return nginxCommand("nginx_stream.conf", { ...place, threads: PROCESSES }, {
      STREAM_MODULE: streamModule,
      BUFFER: "16k",
      UPSTREAMS: `    upstream crowd { ${servers} }`,
      ADDRESS: "0.0.0.0",
      LISTEN: " reuseport",
      TO: "crowd",
    });
  },
};

/** `end` ends all that was started with it. */
export type Started = { child: Child; port: number; end(): Promise<void> };

async function startSink(path: string, options: StartOptions): Promise<Started> {
  const port = await freePort("SINK");
  const seconds = Math.ceil(options.deadlineMs / 1000);
  const command = [tool("sink"), "--port", String(port), "--file", path, "--seconds", String(seconds)];
  const child = start(command, options);
  try {
    await listening(port, child);
  } catch (error) {
    await end(child);
    throw error;
  }
  return { child, port, end: () => end(child) };
}

/** Starts a proxy in front of `origin` and waits until it listens. Its access log begins empty, is gone
 * afterwards, and is written on `options.logCore` where another process does that. */
export async function startProxy(
  proxy: Proxy,
  origin: number,
  threads: number,
  options: StartOptions & { logCore?: number; certificate?: Certificate },
): Promise<Started> {
  const { deadlineMs, logCore, certificate } = options;
  const log = proxy.log;
  const forgetLog = () => log !== undefined && rmSync(join(root, log), { force: true });
  forgetLog();
  const sink = proxy.needsSink ? await startSink(log!, { deadlineMs, core: logCore }) : undefined;
  const port = await freePort("PORT");
  const child = start(proxy.command({ port, origin, threads, sink: sink?.port, certificate }), options);
  const endAll = async () => {
    await end(child);
    await sink?.end();
    forgetLog();
  };
  try {
    await listening(port, child);
  } catch (error) {
    await endAll();
    throw error;
  }
  return { child, port, end: endAll };
}

function sluiceUdpWith(name: string, more: string[]): Proxy {
  return {
    name,
    column: "sluice",
    datagrams: true,
    missing: () => missingFile("dist/sluice"),
    command({ port, origin, threads }) {
      const listen = `udp://127.0.0.1:${port}=127.0.0.1:${origin}`;
      return [
        "dist/sluice",
        listen,
        "--reactors",
        String(threads),
        "--access-log",
        "off",
        "--admin",
        "off",
        ...more,
      ];
    },
  };
}

function nginxUdpWith(name: string, more: string): Proxy {
  return {
    name,
    column: "nginx",
    datagrams: true,
    missing: () => undefined,
    command: (place) => nginxCommand("nginx_udp.conf", place, { STREAM_MODULE: streamModule, MORE: more }),
  };
}

export const sluiceUdp = sluiceUdpWith("sluice, udp", []);
export const nginxUdp = nginxUdpWith("nginx, udp", "");
/** Sessions end with their answer. */
export const sluiceUdpOnce = sluiceUdpWith("sluice, udp, one answer", ["--responses", "1"]);
export const nginxUdpOnce = nginxUdpWith("nginx, udp, one answer", "        proxy_responses 1;");
