// Certificates that Sluice gets by itself: the executable and a real CA, which asks it whether names are its own.
import { match, ok, strictEqual } from "node:assert/strict";
import { createServer, type IncomingMessage } from "node:http";
import { type AddressInfo } from "node:net";
import { writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { connect } from "node:tls";
import { Certificates } from "../support/certificates.ts";
import { Sluice } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";
import { Pebble } from "../support/pebble.ts";
import { until, within } from "../support/waiting.ts";

/** Who signed the certificate that is presented for a name; "" when the handshake fails by an alert. */
function issuerOf(port: number, servername: string): Promise<string> {
  return within(
    `a handshake for ${servername}`,
    new Promise((resolve, reject) => {
      const socket = connect({ port, host: "127.0.0.1", servername, rejectUnauthorized: false });
      socket.on("secureConnect", () => {
        resolve(String(socket.getPeerCertificate().issuer.CN));
        socket.destroy();
      });
      socket.on("error", (error) => /alert/i.test(error.message) ? resolve("") : reject(error));
    }),
  );
}

interface Setting {
  readonly pebble: Pebble;
  readonly challenge: "http-01" | "tls-alpn-01";
  readonly more?: string;
  readonly hosts?: readonly string[];
}

function configuration(
  folder: Folder,
  { pebble, challenge, more = "", hosts = ["shop.example"] }: Setting,
): string {
  const routes = hosts.map((host) =>
    `      - { match: { host: ${host} }, respond: { status: 200, body: "${host}" } }`
  );
  const path = folder.at("sluice.yaml");
  writeFileSync(
    path,
    `listeners:
  web:
    bind: [http://127.0.0.1:${pebble.httpPort}, https://127.0.0.1:${pebble.tlsPort}]
    tls:
      acme:
        email: ops@shop.example
        storage: ${folder.at("acme")}
        directory: ${pebble.directory}
        ca: ${pebble.ca}
        challenges: [${challenge}]
${more}
    routes:
${routes.join("\n")}
      - respond: { status: 404, body: "" }
`,
  );
  return path;
}

describe("tls.acme", () => {
  for (const challenge of ["http-01", "tls-alpn-01"] as const) {
    it(`has a certificate issued by ${challenge}, and presents it without being started again`, async () => {
      await using pebble = await Pebble.start();
      using folder = new Folder();
      const hosts = ["shop.example", "www.shop.example"];
      using sluice = await Sluice.start([
        "run",
        "-c",
        configuration(folder, { pebble, challenge, hosts }),
      ]);
      for (const host of hosts) {
        await until(
          `${host} to be issued`,
          async () => (await issuerOf(pebble.tlsPort, host)).startsWith("Pebble"),
        );
      }
      strictEqual(pebble.orders, 2);
      await sluice.finish();
    });
  }

  it("presents what is in the storage when it starts again, and orders nothing", async () => {
    await using pebble = await Pebble.start();
    using folder = new Folder();
    const words = ["run", "-c", configuration(folder, { pebble, challenge: "tls-alpn-01" })];
    {
      using sluice = await Sluice.start(words);
      await until(
        "the certificate",
        async () => (await issuerOf(pebble.tlsPort, "shop.example")).startsWith("Pebble"),
      );
      await sluice.finish();
    }
    using sluice = await Sluice.start(words);
    ok((await issuerOf(pebble.tlsPort, "shop.example")).startsWith("Pebble"));
    strictEqual(pebble.orders, 1);
    await sluice.finish();
  });

  it("until then a name gets nobody else's, if it gets none", async () => {
    await using pebble = await Pebble.start({ blocked: ["bad.example"] });
    using folder = new Folder();
    const hosts = ["shop.example", "bad.example"], more = "        while-issuing: refuse";
    const words = configuration(folder, { pebble, challenge: "tls-alpn-01", hosts, more });
    using sluice = await Sluice.start(["run", "-c", words]);
    await sluice.until(
      "shop.example to be issued",
      ({ acme }) => acme!.names.some(({ name, serving }) => name === "shop.example" && serving === "issued"),
    );
    ok((await issuerOf(pebble.tlsPort, "shop.example")).startsWith("Pebble"));
    strictEqual(await issuerOf(pebble.tlsPort, "bad.example"), "");
    ok((await issuerOf(pebble.tlsPort, "unknown.example")).startsWith("Pebble"), "the first, for any other");
    await sluice.until("why bad.example has none", ({ acme }) => {
      const bad = acme!.names.find(({ name }) => name === "bad.example");
      return bad?.serving === "nothing" && bad.problem !== null;
    });
    const metrics = await sluice.metrics();
    strictEqual(metrics.get('sluice_acme_problem{name="bad.example"}'), 1);
    strictEqual(metrics.get('sluice_acme_problem{name="shop.example"}'), 0);
    strictEqual(metrics.get('sluice_acme_orders_total{result="issued"}'), 1);
    await sluice.finish();
  });

  it("a self-signed one until then, or none, by choice", async () => {
    await using pebble = await Pebble.start({ blocked: ["shop.example"] });
    using folder = new Folder();
    const setting = { pebble, challenge: "tls-alpn-01" } as const;
    {
      using sluice = await Sluice.start(["run", "-c", configuration(folder, setting)]);
      const issuer = await issuerOf(pebble.tlsPort, "shop.example");
      ok(issuer !== "" && !issuer.startsWith("Pebble"), issuer);
      match((await sluice.status()).certificates[0].problem ?? "", /stands in for one/);
      await sluice.finish();
    }
    const more = "        while-issuing: refuse";
    using sluice = await Sluice.start(["run", "-c", configuration(folder, { ...setting, more })]);
    strictEqual(await issuerOf(pebble.tlsPort, "shop.example"), "");
    strictEqual((await sluice.ended(1))[0].reason, "no_certificate");
    await sluice.finish();
  });

  it("a name that a given certificate is for is not ordered, and is shown nothing else", async () => {
    await using pebble = await Pebble.start();
    using folder = new Folder();
    using world = new Certificates();
    const { cert, key } = world.rsa("shop.example", "*.given.example");
    const more = `      certificates: [{ cert: ${cert}, key: ${key} }]`;
    const hosts = ["shop.example", "a.given.example", "www.shop.example"];
    using sluice = await Sluice.start([
      "run",
      "-c",
      configuration(folder, { pebble, challenge: "tls-alpn-01", more, hosts }),
    ]);
    for (const host of hosts.slice(0, 2)) {
      strictEqual(await issuerOf(pebble.tlsPort, host), "Test Root", host);
    }
    await until(
      "the other one to be issued",
      async () => (await issuerOf(pebble.tlsPort, "www.shop.example")).startsWith("Pebble"),
    );
    for (const host of hosts.slice(0, 2)) {
      strictEqual(await issuerOf(pebble.tlsPort, host), "Test Root", host);
    }
    strictEqual(pebble.orders, 1);
    await sluice.finish();
  });

  it("on demand: the handshake waits while one is issued, for names that may have one", async () => {
    await using pebble = await Pebble.start();
    using folder = new Folder();
    const asked: string[] = [];
    const judge = createServer((request: IncomingMessage, response) => {
      const name = new URL(request.url ?? "", "http://judge").searchParams.get("domain") ?? "";
      asked.push(name);
      response.writeHead(name === "good.example" ? 200 : 403).end();
    });
    await new Promise<void>((resolve) => judge.listen(0, "127.0.0.1", resolve));
    try {
      const { port } = judge.address() as AddressInfo;
      const more = `        on-demand: { allow: "http://127.0.0.1:${port}/may" }`;
      using sluice = await Sluice.start([
        "run",
        "-c",
        configuration(folder, { pebble, challenge: "tls-alpn-01", more }),
      ]);
      ok((await issuerOf(pebble.tlsPort, "good.example")).startsWith("Pebble"));
      strictEqual(await issuerOf(pebble.tlsPort, "bad.example"), "");
      ok((await issuerOf(pebble.tlsPort, "good.example")).startsWith("Pebble"));
      strictEqual(asked.sort().join(), "bad.example,good.example");
      await sluice.finish();
    } finally {
      judge.closeAllConnections();
      judge.close();
    }
  });
});
