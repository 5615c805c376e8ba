// A CA for tests: Debian's pebble, with pebble-challtestsrv as its DNS: every name is 127.0.0.1. What the CA
// asks of a name goes to `httpPort` and `tlsPort`, where the test answers or does not.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { needProgram } from "./debian.ts";
import { Folder } from "./folder.ts";
import { freePort } from "./servers.ts";
import { until, within } from "./waiting.ts";

/** Neither of the two lives longer, whatever becomes of the test. */
const LIFE_S = 240;
const HOST = "127.0.0.1";

export interface PebbleOptions {
  /** Percent of good nonces that are refused. */
  readonly refusedNonces?: number;
  /** Key ids and MAC keys (base64url); accounts without one of them are refused. */
  readonly externalAccounts?: Readonly<Record<string, string>>;
  /** Seconds that a certificate is valid. */
  readonly validityS?: number;
  /** Names that the CA refuses. */
  readonly blocked?: readonly string[];
}

export class Pebble {
  readonly directory: string;
  readonly httpPort: number;
  readonly tlsPort: number;
  /** The certificate that the CA's own server is verified with: a file. */
  readonly ca: string;
  readonly #folder: Folder;
  readonly #ports: Ports;
  readonly #options: PebbleOptions;
  readonly #output: string[] = [];
  #processes: ChildProcess[] = [];

  static async start(options: PebbleOptions = {}): Promise<Pebble> {
    needProgram("pebble", "pebble");
    needProgram("pebble-challtestsrv", "pebble");
    needProgram("openssl", "openssl");
    const names = ["acme", "manage", "dns", "dnsManage", "http", "tls"] as const;
    const free = await Promise.all(names.map(() => freePort()));
    const ports = Object.fromEntries(names.map((name, at) => [name, free[at]])) as Ports;
    const pebble = new Pebble(options, ports);
    await pebble.start();
    return pebble;
  }

  private constructor(options: PebbleOptions, ports: Ports) {
    this.#folder = new Folder();
    this.#options = options;
    this.#ports = ports;
    this.directory = `https://${HOST}:${ports.acme}/dir`;
    this.httpPort = ports.http;
    this.tlsPort = ports.tls;
    this.ca = this.#folder.at("ca.pem");
    makeCertificates(this.#folder);
    const { externalAccounts, validityS, blocked } = options;
    writeFileSync(
      this.#folder.at("pebble.json"),
      JSON.stringify({
        pebble: {
          listenAddress: `${HOST}:${ports.acme}`,
          managementListenAddress: `${HOST}:${ports.manage}`,
          certificate: this.#folder.at("server.pem"),
          privateKey: this.#folder.at("server.key"),
          httpPort: ports.http,
          tlsPort: ports.tls,
          ocspResponderURL: "",
          externalAccountBindingRequired: externalAccounts !== undefined,
          externalAccountMACKeys: externalAccounts ?? {},
          ...(validityS !== undefined && { certificateValidityPeriod: validityS }),
          domainBlocklist: blocked ?? [],
        },
      }),
    );
  }

  /** Anew and without memory, at the same address, after `kill`. */
  async start(): Promise<void> {
    const { dns, dnsManage } = this.#ports;
    const off = ["-http01=", "-https01=", "-tlsalpn01=", "-defaultIPv6="];
    this.#spawn(
      "pebble-challtestsrv",
      [...off, `-dns01=${HOST}:${dns}`, `-management=${HOST}:${dnsManage}`],
      {},
    );
    this.#spawn("pebble", [
      "-strict",
      "-config",
      this.#folder.at("pebble.json"),
      "-dnsserver",
      `${HOST}:${dns}`,
    ], {
      PEBBLE_VA_NOSLEEP: "1",
      PEBBLE_AUTHZREUSE: "0",
      PEBBLE_WFE_NONCEREJECT: String(this.#options.refusedNonces ?? 0),
    });
    await until("pebble to listen", () => {
      if (this.#processes.some(({ exitCode }) => exitCode !== null)) throw new Error(this.output);
      return this.#output.join("").includes("ACME directory available");
    });
    await until("pebble to answer", () => canConnect(this.#ports.acme));
  }

  /** What both have printed. */
  get output(): string {
    return this.#output.join("");
  }

  /** Certificates issued so far, orders made so far: by what pebble prints. */
  get issued(): number {
    return this.output.match(/Issued certificate serial/g)?.length ?? 0;
  }

  get orders(): number {
    return this.output.match(/There are now \d+ orders in the db/g)?.length ?? 0;
  }

  async kill(): Promise<void> {
    const gone = this.#processes.map((child) => new Promise((resolve) => child.once("exit", resolve)));
    for (const child of this.#processes) child.kill("SIGKILL");
    this.#processes = [];
    await within("pebble to be gone", Promise.all(gone));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    process.off("exit", this.#end);
    await this.kill();
    this.#folder[Symbol.dispose]();
  }

  readonly #end = (): void => {
    for (const child of this.#processes) child.kill("SIGKILL");
  };

  #spawn(program: string, words: readonly string[], env: Readonly<Record<string, string>>): void {
    const child = spawn(program, words, {
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const life = setTimeout(() => child.kill("SIGKILL"), LIFE_S * 1_000);
    child.on("exit", () => clearTimeout(life));
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => this.#output.push(text));
    }
    if (this.#processes.length === 0) process.on("exit", this.#end);
    this.#processes.push(child);
  }
}

type Ports = Record<"acme" | "manage" | "dns" | "dnsManage" | "http" | "tls", number>;

/** A root, and what it signs for the CA's own server. */
function makeCertificates(folder: Folder): void {
  const openssl = (...words: string[]) => execFileSync("openssl", words, { timeout: 30_000, stdio: "pipe" });
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
  const root = [
    "-subj",
    "/CN=root",
    "-addext",
    "basicConstraints=critical,CA:TRUE",
    "-addext",
    "keyUsage=keyCertSign",
  ];
  openssl("req", "-x509", ...key, ...root, "-keyout", folder.at("ca.key"), "-out", folder.at("ca.pem"));
  const server = ["-keyout", folder.at("server.key"), "-out", folder.at("server.csr")];
  openssl("req", ...key.slice(0, -2), "-subj", "/CN=server", ...server);
  writeFileSync(
    folder.at("extensions"),
    `subjectAltName=DNS:localhost,IP:${HOST}\nbasicConstraints=CA:FALSE\n`,
  );
  const by = ["-CA", folder.at("ca.pem"), "-CAkey", folder.at("ca.key"), "-CAcreateserial", "-days", "2"];
  const what = ["-in", folder.at("server.csr"), "-extfile", folder.at("extensions")];
  openssl("x509", "-req", ...by, ...what, "-out", folder.at("server.pem"));
}

async function canConnect(port: number): Promise<boolean> {
  const { connect } = await import("node:net");
  return await new Promise((resolve) => {
    const socket = connect(port, HOST, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
