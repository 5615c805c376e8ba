// What the tests of automatic certificates share: a clock that can be moved, a site that answers the CA's
// challenges (or does not), and everything that an Acme has said and installed.
import { type ChildProcess, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { connect } from "node:net";
import { Acme, type AcmeHooks, type AcmeOptions } from "../../../src/control/acme/acme.ts";
import type { Clock } from "../../../src/control/acme/clock.ts";
import type { NameStatus } from "../../../src/control/acme/name.ts";
import type { Level } from "../../../src/control/log.ts";
import { Folder } from "../../support/folder.ts";
import type { Pebble } from "../../support/pebble.ts";
import { until, within } from "../../support/waiting.ts";

/** Goes with the real one, and jumps. */
export class MovableClock implements Clock {
  #aheadMs = 0;
  readonly #timers = new Set<{ readonly dueMs: number; readonly run: () => void }>();

  nowMs(): number {
    return Date.now() + this.#aheadMs;
  }

  after(ms: number, run: () => void): () => void {
    const entry = { dueMs: this.nowMs() + ms, run };
    const timer = setTimeout(() => this.#fire(entry), Math.min(ms, 2 ** 31 - 1));
    this.#timers.add(entry);
    return () => {
      clearTimeout(timer);
      this.#timers.delete(entry);
    };
  }

  random(): number {
    return 0.5;
  }

  jump(ms: number): void {
    this.#aheadMs += ms;
    for (const entry of [...this.#timers]) if (entry.dueMs <= this.nowMs()) this.#fire(entry);
  }

  #fire(entry: { readonly dueMs: number; readonly run: () => void }): void {
    if (this.#timers.delete(entry)) entry.run();
  }
}

/** What the CA finds at a name. */
export class Site {
  /** Answered to HTTP-01: by the thumbprint, wrongly, or 404. */
  http: "right" | "wrong" | "missing" = "right";
  /** Whether a TLS-ALPN-01 certificate that is handed in is shown. */
  tls = true;
  thumbprint = "";
  /** Requests of the CA. */
  asked = 0;
  readonly #pebble: Pebble;
  readonly #folder = new Folder();
  readonly #server: Server;
  #shown: ChildProcess | undefined;

  static async open(pebble: Pebble): Promise<Site> {
    const site = new Site(pebble);
    await within(
      "a site to listen",
      new Promise<void>((resolve) => site.#server.listen(pebble.httpPort, "127.0.0.1", resolve)),
    );
    return site;
  }

  private constructor(pebble: Pebble) {
    this.#pebble = pebble;
    this.#server = createServer((request, response) => {
      this.asked++;
      const token = /^\/\.well-known\/acme-challenge\/([A-Za-z0-9_-]+)$/.exec(request.url ?? "")?.[1];
      if (token === undefined || this.http === "missing") response.statusCode = 404;
      response.end(`${token}.${this.http === "wrong" ? "not-the-thumbprint" : this.thumbprint}`);
    });
  }

  /** Shows a certificate to whoever offers acme-tls/1, from when the promise is fulfilled. */
  async show(chainPem: string, keyPem: string): Promise<void> {
    if (!this.tls) return;
    await this.hide();
    writeFileSync(this.#folder.at("cert.pem"), chainPem);
    writeFileSync(this.#folder.at("key.pem"), keyPem);
    const { tlsPort } = this.#pebble;
    const files = ["-cert", this.#folder.at("cert.pem"), "-key", this.#folder.at("key.pem")];
    const words = ["s_server", "-quiet", "-alpn", "acme-tls/1", "-accept", `127.0.0.1:${tlsPort}`, ...files];
    this.#shown = spawn("timeout", ["60", "openssl", ...words], { stdio: "ignore" });
    await until("openssl to listen", () => canConnect(tlsPort));
  }

  async hide(): Promise<void> {
    const shown = this.#shown;
    this.#shown = undefined;
    if (shown === undefined) return;
    const gone = new Promise((resolve) => shown.once("exit", resolve));
    shown.kill("SIGTERM"); // timeout(1) passes it on
    await within("openssl to end", gone);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.hide();
    this.#server.closeAllConnections();
    await within("a site to close", new Promise((resolve) => this.#server.close(resolve)));
    this.#folder[Symbol.dispose]();
  }
}

/** An Acme with what it does written down. */
export class Instance {
  readonly clock: MovableClock;
  readonly lines: { readonly level: Level; readonly message: string }[] = [];
  /** The last pair of each name, and how often there was one. */
  readonly installed = new Map<string, { chainPem: string; keyPem: string; times: number }>();
  readonly challenged: string[] = [];
  acme!: Acme;
  readonly #site: Site | undefined;

  static async open(
    options: Partial<AcmeOptions> & Pick<AcmeOptions, "storage">,
    pebble: Pick<Pebble, "directory" | "ca">,
    site?: Site,
    clock = new MovableClock(),
  ): Promise<Instance> {
    const instance = new Instance(site, clock);
    const { directory, ca } = pebble;
    const all: AcmeOptions = { names: [], directory, ca, whileIssuing: "refuse", ...options };
    instance.acme = await Acme.open(all, instance.#hooks());
    if (site !== undefined) site.thumbprint = instance.acme.thumbprint;
    return instance;
  }

  /** Opened and started. */
  static async start(...args: Parameters<typeof Instance.open>): Promise<Instance> {
    const instance = await Instance.open(...args);
    await instance.acme.start();
    return instance;
  }

  private constructor(site: Site | undefined, clock: MovableClock) {
    this.#site = site;
    this.clock = clock;
  }

  #hooks(): AcmeHooks {
    const note = (level: Level) => (_: string, message: string) => void this.lines.push({ level, message });
    return {
      install: (names, chainPem, keyPem) => {
        for (const name of names) {
          const times = (this.installed.get(name)?.times ?? 0) + 1;
          this.installed.set(name, { chainPem, keyPem, times });
        }
      },
      uninstall: (names) => {
        for (const name of names) this.installed.delete(name);
      },
      challenge: async (name, chainPem, keyPem) => {
        this.challenged.push(name);
        await this.#site?.show(chainPem, keyPem);
      },
      unchallenge: async (name) => {
        this.challenged.push(`-${name}`);
        await this.#site?.hide();
      },
      log: { debug: note("debug"), info: note("info"), warn: note("warn"), error: note("error") },
      clock: this.clock,
    };
  }

  of(name: string): NameStatus | undefined {
    return this.acme.status().names.find((entry) => entry.name === name);
  }

  /** Waits for what the status of a name will say. */
  async until(
    name: string,
    look: (status: NameStatus) => boolean,
    what = "a certificate",
  ): Promise<NameStatus> {
    try {
      return await until(`${what} of ${name}`, () => {
        const status = this.of(name);
        return status !== undefined && look(status) && status;
      }, 20_000);
    } catch (error) {
      throw new Error(`${error}\n${JSON.stringify(this.of(name))}\n${this.text}`);
    }
  }

  valid(name: string): Promise<NameStatus> {
    return this.until(name, ({ state }) => state === "valid");
  }

  failed(name: string): Promise<NameStatus> {
    return this.until(name, ({ state }) => state === "failed", "a failure");
  }

  /** All that was logged. */
  get text(): string {
    return this.lines.map(({ level, message }) => `${level} ${message}`).join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await within("an Acme to stop", this.acme.stop());
  }
}

async function canConnect(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
