// The PROXY protocol with those who speak it for real: HAProxy and nginx before Sluice, and behind it. Each side's
// word is held against the other's.
import { deepStrictEqual, match, strictEqual } from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { Certificates } from "../support/certificates.ts";
import { withConfig } from "../support/configured.ts";
import { needProgram } from "../support/debian.ts";
import { Folder } from "../support/folder.ts";
import { HttpOrigin, ok as answerOk } from "../support/http_origin.ts";
import { HttpPeer, statusOf, valuesOf } from "../support/http_peer.ts";
import { connectSecurely } from "../support/https_peer.ts";
import { Peer } from "../support/peer.ts";
import { echo, freePort, Server } from "../support/servers.ts";
import { until } from "../support/waiting.ts";

const certificates = new Certificates();
after(() => certificates[Symbol.dispose]());
const site = certificates.leaf("a.example");
const CLOSE = ["Connection: close"];
const DEADLINE_MS = 60_000;

before(() => {
  needProgram("haproxy", "haproxy");
  needProgram("nginx", "nginx-light");
}, { timeout: 300_000 });

/** Runs somebody else's proxy by its configuration until the test is over. */
async function withPeer(
  program: "haproxy" | "nginx",
  config: string,
  port: number,
  test: () => Promise<void>,
): Promise<void> {
  using folder = new Folder();
  writeFileSync(folder.at("it.cfg"), config.replaceAll("FOLDER", folder.path));
  const words = program === "haproxy"
    ? ["-db", "-f", folder.at("it.cfg")]
    : ["-c", folder.at("it.cfg"), "-p", folder.path, "-e", folder.at("error.log")];
  const child = spawn(program, words, { stdio: ["ignore", "ignore", "pipe"], timeout: DEADLINE_MS });
  let said = "";
  child.stderr!.setEncoding("utf8").on("data", (text: string) => said += text);
  try {
    await until(`${program} to listen`, () => canConnect(port, child));
    await test();
  } catch (error) {
    throw new Error(`${(error as Error).message}; ${program} said:\n${said}`, { cause: error });
  } finally {
    child.kill("SIGTERM");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  }
}

async function canConnect(port: number, child: ChildProcess): Promise<true | undefined> {
  if (child.exitCode !== null) throw new Error(`it ended with status ${child.exitCode}`);
  try {
    using _ = await Peer.connect(port);
    return true;
  } catch {
    return undefined;
  }
}

const HAPROXY = `global
  maxconn 100
defaults
  timeout connect 5s
  timeout client 20s
  timeout server 20s
`;
const NGINX = (stream: string, http = "") =>
  `daemon off;
master_process off;
pid FOLDER/nginx.pid;
error_log stderr warn;
events { worker_connections 100; }
${stream === "" ? "" : `stream { ${stream} }`}
${
    http === "" ? "" : `http {
  client_body_temp_path FOLDER/body; proxy_temp_path FOLDER/proxy; fastcgi_temp_path FOLDER/f;
  uwsgi_temp_path FOLDER/u; scgi_temp_path FOLDER/s; access_log off; ${http} }`
  }
`;
/** With Debian's stream module, if it is one of its own. */
const STREAM = "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n";

/** Says something through a chain of proxies, and leaves. @returns the client's own address */
async function talk(port: number): Promise<string> {
  using client = await Peer.connect(port, "127.0.0.9");
  strictEqual(await client.ask("hello"), "hello");
  client.end();
  await client.ending();
  return client.address;
}

describe("behind HAProxy", () => {
  for (const send of ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"]) {
    it(`with ${send}, checks included`, async () => {
      await using server = await Server.listen(echo);
      await withConfig({
        listeners: { it: { bind: "tcp://127.0.0.1:0", to: "echo", "accept-proxy": "127.0.0.1" } },
        upstreams: { echo: { servers: server.address, health: "off" } },
      }, async (sluice) => {
        const port = await freePort();
        const config = `${HAPROXY}frontend it
  bind 127.0.0.1:${port}
  unique-id-format %pid-%rt
  default_backend sluice
backend sluice
  server s 127.0.0.1:${sluice.port()} check inter 100 check-send-proxy ${send}
`;
        await withPeer("haproxy", config, port, async () => {
          const clients = [await talk(port), await talk(port)];
          const told = await until("both records", () => {
            const found = sluice.records.map(({ client }) => client).filter((one) => clients.includes(one!));
            return Promise.resolve(found.length >= 2 ? found : undefined);
          });
          deepStrictEqual(told, clients);
        });
        strictEqual(sluice.records.filter(({ reason }) => reason.startsWith("proxy_")).length, 0);
      });
    });
  }
});

describe("before HAProxy", () => {
  const sends: (string | object)[] = ["v1", "v2", {
    version: "v2",
    "unique-id": true,
    crc32c: true,
    tls: true,
  }];
  for (const send of sends) {
    it(`with ${JSON.stringify(send)}: it knows the client, by TCP and by HTTP`, async () => {
      await using origin = await HttpOrigin.listen(() => answerOk("it", CLOSE));
      const port = await freePort();
      const config = `${HAPROXY}frontend it
  mode http
  bind 127.0.0.1:${port} accept-proxy
  http-request set-header X-Src %[src]:%[src_port]
  http-request set-header X-Dst %[dst]:%[dst_port]
  http-request set-header X-Id %[fc_pp_unique_id]
  http-request set-header X-Name %[fc_pp_authority]
  default_backend app
backend app
  mode http
  server s ${origin.address}
`;
      await withPeer("haproxy", config, port, async () => {
        const upstream = {
          servers: `127.0.0.1:${port}`,
          health: { tcp: true, interval: "100ms" },
          "send-proxy": send,
        };
        const tls = { certificates: [{ cert: site.chain, key: site.key }] };
        await withConfig({
          listeners: {
            tcp: { bind: "tcp://127.0.0.1:0", to: "app" },
            web: { bind: "http://127.0.0.1:0", to: "app" },
            secure: { bind: "https://127.0.0.1:0", to: "app", tls },
          },
          upstreams: { app: upstream },
        }, async (sluice) => {
          await sluice.line("health", /is up/);
          for (let listener = 0; listener < 3; listener++) {
            const client = listener < 2
              ? await HttpPeer.connect(sluice.port(listener))
              : await connectSecurely(sluice.port(listener), { name: "a.example" });
            const { head } = await client.ask(
              "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n",
            );
            strictEqual(statusOf(head), 200);
            const { head: came } = origin.requests.at(-1)!;
            strictEqual(valuesOf(came, "x-src")[0], client.peer.address);
            strictEqual(valuesOf(came, "x-dst")[0], `127.0.0.1:${sluice.port(listener)}`);
            if (typeof send === "object") match(valuesOf(came, "x-id")[0], /^[0-9a-f]{32}$/);
            if (typeof send === "object" && listener === 2) {
              strictEqual(valuesOf(came, "x-name")[0], "a.example");
            }
            client.end();
            await client.ending();
          }
        });
      });
    });
  }
});

describe("behind nginx", () => {
  it("with proxy_protocol on", async () => {
    await using server = await Server.listen(echo);
    await withConfig({
      listeners: { it: { bind: "tcp://127.0.0.1:0", to: "echo", "accept-proxy": "127.0.0.1" } },
      upstreams: { echo: { servers: server.address, health: "off" } },
    }, async (sluice) => {
      const port = await freePort();
      const stream =
        `server { listen 127.0.0.1:${port}; proxy_protocol on; proxy_pass 127.0.0.1:${sluice.port()}; }`;
      await withPeer("nginx", STREAM + NGINX(stream), port, async () => {
        const clients = [await talk(port), await talk(port)];
        const told = await until("both records", () => {
          const found = sluice.records.map(({ client }) => client).filter((one) => clients.includes(one!));
          return Promise.resolve(found.length >= 2 ? found : undefined);
        });
        deepStrictEqual(told, clients);
      });
    });
  });
});

describe("before nginx", () => {
  for (const send of ["v1", "v2"]) {
    it(`with ${send}: it knows the client`, async () => {
      const port = await freePort();
      const http = `server { listen 127.0.0.1:${port} proxy_protocol;
        location / { add_header X-Src "$proxy_protocol_addr:$proxy_protocol_port" always;
          add_header X-Dst "$proxy_protocol_server_addr:$proxy_protocol_server_port" always; return 204; } }`;
      await withPeer("nginx", NGINX("", http), port, async () => {
        await withConfig({
          listeners: { web: { bind: "http://127.0.0.1:0", to: "app" } },
          upstreams: {
            app: {
              servers: `127.0.0.1:${port}`,
              health: { http: "GET /", expect: 204, interval: "100ms" },
              "send-proxy": send,
            },
          },
        }, async (sluice) => {
          await sluice.line("health", /is up/);
          const client = await HttpPeer.connect(sluice.port());
          for (let request = 0; request < 3; request++) {
            const { head } = await client.ask("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
            strictEqual(statusOf(head), 204);
            strictEqual(valuesOf(head, "x-src")[0], client.peer.address);
            strictEqual(valuesOf(head, "x-dst")[0], `127.0.0.1:${sluice.port()}`);
          }
          client.end();
          await client.ending();
        });
      });
    });
  }
});
