// The small C programs of the bench, as load for tests: what they do in a second takes a script minutes.
import { execFileSync, spawn } from "node:child_process";
import { ROOT } from "./executable.ts";
import { Folder } from "./folder.ts";
import { within } from "./waiting.ts";

/** What a tool prints: `connections=5000 failed=0 ...`, each a number or a name. */
export type Report = Readonly<Record<string, string>>;

const TOOL_DEADLINE_S = 60;

/** Compiled into a folder of their own, for one test file. */
export class Tools {
  readonly #folder = new Folder();

  constructor() {
    for (const name of ["churn", "origin"]) {
      execFileSync("gcc", ["-O2", "-o", this.#folder.at(name), `${ROOT}bench/${name}.c`], {
        timeout: 60_000,
      });
    }
  }

  /** Opens and closes connections as fast as it can. @returns its report, whatever failed */
  async churn(port: number, count: number, mode: "request" | "connect" | "reset"): Promise<Report> {
    const flags = { port, count, mode, concurrency: 64, seconds: TOOL_DEADLINE_S };
    const words = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)]);
    const child = spawn(this.#folder.at("churn"), words, { stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => output += text);
    const ended = new Promise((resolve, reject) => {
      child.on("close", resolve);
      child.on("error", reject);
    });
    await within("churn to end", ended, (TOOL_DEADLINE_S + 5) * 1_000);
    return report(output);
  }

  /** A server for `churn`: one answer to each request. */
  async origin(): Promise<Origin> {
    const child = spawn(this.#folder.at("origin"), ["--seconds", "600"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const end = () => child.kill("SIGKILL");
    process.on("exit", end);
    const line = await within(
      "origin to listen",
      new Promise<Buffer>((resolve) => child.stdout.on("data", resolve)),
    );
    return {
      port: Number(report(line.toString()).port),
      [Symbol.dispose]: () => {
        end();
        process.off("exit", end);
      },
    };
  }

  [Symbol.dispose](): void {
    this.#folder[Symbol.dispose]();
  }
}

export interface Origin extends Disposable {
  readonly port: number;
}

function report(line: string): Report {
  return Object.fromEntries(line.trim().split(" ").map((pair) => pair.split("=", 2)));
}
