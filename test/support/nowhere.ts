// A network where nothing can be reached: a namespace to run Sluice in, and a router behind it (router.c) that says
// so by ICMP. Unix sockets know no namespaces: by them a test reaches what runs in there. Takes root and gcc.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { ROOT } from "./executable.ts";
import { Folder } from "./folder.ts";
import { within } from "./waiting.ts";

const DEADLINE_MS = 10_000;

/** Servers that are not there, by what a connect to them comes to: ICMP from the router, or the own kernel's word. */
export const NOWHERE = {
  networkUnreachable: "10.77.0.1:80",
  hostUnreachable: "10.77.1.1:80",
  portUnreachable: "10.77.3.1:80",
  prohibited: "10.77.13.1:80",
  silent: "10.77.255.1:80",
  /** EHOSTUNREACH, EACCES, EINVAL, ENETUNREACH, by connect(2) itself. */
  noHost: "10.78.1.1:80",
  forbidden: "10.78.2.1:80",
  swallowed: "10.78.3.1:80",
  noNetwork: "[2001:db8::1]:80",
} as const;

export class Nowhere {
  readonly #name = `sluice-test-${process.pid}`;
  readonly #folder = new Folder();
  #router: ChildProcess | undefined;
  /** Before a command: runs it in there. */
  readonly inside: readonly string[] = ["ip", "netns", "exec", this.#name];

  /** @throws where that is not possible */
  constructor() {
    process.on("exit", this.#remove);
    try {
      const words = ["-O1", "-o", this.#folder.at("router"), `${ROOT}test/support/router.c`];
      execFileSync("gcc", words, { timeout: 60_000, stdio: ["ignore", "ignore", "pipe"] });
      this.#run(`ip netns add ${this.#name}; in="ip -n ${this.#name}"
        $in tuntap add dev out mode tun
        $in address add 10.77.254.1/32 dev out
        $in link set lo up; $in link set out up
        $in route add 10.77.0.0/16 dev out
        $in route add unreachable 10.78.1.0/24
        $in route add prohibit 10.78.2.0/24
        $in route add blackhole 10.78.3.0/24`);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Resolves when the router answers; it goes on until the end. */
  async start(): Promise<void> {
    if (this.#router !== undefined) return;
    const [program, ...words] = [...this.inside, this.#folder.at("router"), "out"];
    const router = spawn(program, words, { stdio: ["ignore", "pipe", "inherit"] });
    this.#router = router;
    await within("the router to be ready", new Promise((resolve) => router.stdout.once("data", resolve)));
  }

  #run(script: string): void {
    execFileSync("sh", ["-ec", script], { timeout: DEADLINE_MS, stdio: ["ignore", "ignore", "pipe"] });
  }

  readonly #remove = (): void => {
    this.#router?.kill("SIGKILL");
    try {
      this.#run(`ip netns del ${this.#name}`);
    } catch {
      return; // it was never made
    }
  };

  [Symbol.dispose](): void {
    process.off("exit", this.#remove);
    this.#remove();
    this.#folder[Symbol.dispose]();
  }
}

/** Such a network, or why there is none. */
export function openNowhere(): Nowhere | string {
  if (process.getuid?.() !== 0) return "needs root, for a network of its own";
  try {
    return new Nowhere();
  } catch (error) {
    return `no network of its own can be made here: ${(error as Error).message}`;
  }
}
