// TLS around the sockets of a test (tls_end.c): its Peers and Servers stay what they are, and speak TLS to
// Sluice. Debian's OpenSSL, none of Sluice's own.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { ROOT } from "./executable.ts";
import { Folder } from "./folder.ts";
import { until, within } from "./waiting.ts";

/** What was agreed on, or `failed: "1"`. */
export type Handshake = Readonly<Record<string, string>>;

const DEADLINE_MS = 90_000;
const folder = new Folder();
let program = "";

function build(): string {
  if (program !== "") return program;
  const made = folder.at("tls_end");
  const words = ["-O1", "-w", "-o", made, `${ROOT}test/support/tls_end.c`, "-lssl", "-lcrypto", "-lpthread"];
  execFileSync("gcc", words, { timeout: 60_000 });
  return program = made;
}

export class TlsEnd {
  /** Where it listens. */
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #end: () => void;
  readonly #handshakes: Handshake[];

  private constructor(child: ChildProcess, end: () => void, port: number, handshakes: Handshake[]) {
    this.#child = child;
    this.#end = end;
    this.port = port;
    this.#handshakes = handshakes;
  }

  /** Who connects to it in plain is connected to `port` in TLS. */
  static client(port: number, ...words: string[]): Promise<TlsEnd> {
    return TlsEnd.#start(["client", "--to", String(port), ...words]);
  }

  /** Who connects to it in TLS is connected to `port` in plain. */
  static server(port: number, ...words: string[]): Promise<TlsEnd> {
    return TlsEnd.#start(["server", "--to", String(port), ...words]);
  }

  static async #start(words: readonly string[]): Promise<TlsEnd> {
    const child = spawn(build(), words, { stdio: ["ignore", "pipe", "inherit"] });
    const kill = () => void child.kill("SIGKILL");
    const timer = setTimeout(kill, DEADLINE_MS);
    process.on("exit", kill);
    const end = () => {
      clearTimeout(timer);
      process.off("exit", kill);
      kill();
    };
    const handshakes: Handshake[] = [];
    let text = "";
    const port = await within(
      "tls_end to listen",
      new Promise<number>((resolve, reject) => {
        child.on("error", reject);
        child.on("close", () => reject(new Error(`tls_end ${words.join(" ")} has ended`)));
        child.stdout!.setEncoding("utf8").on("data", (more: string) => {
          const lines = (text + more).split("\n");
          text = lines.pop()!;
          for (const line of lines) {
            const fields = line.split(" ").map((word) => word.split("=", 2));
            const said = Object.fromEntries(fields.map(([key, value]) => [key, value ?? "1"]));
            if (said.port !== undefined) resolve(Number(said.port));
            else handshakes.push(said);
          }
        });
      }),
    );
    return new TlsEnd(child, end, port, handshakes);
  }

  /** As a target of Sluice. */
  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** How the first `count` handshakes went, once there are so many. */
  async handshakes(count: number): Promise<Handshake[]> {
    return await until(`${count} handshakes`, () => this.#handshakes.length >= count && this.#handshakes);
  }

  [Symbol.dispose](): void {
    this.#end();
  }
}
