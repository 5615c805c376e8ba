// The reader of a named pipe, as a process of its own: it can be stopped and go on. What it reads is in a file.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";

const DEADLINE_MS = 90_000;

export function makePipe(path: string): void {
  execFileSync("mkfifo", [path], { timeout: 5_000 });
}

export class PipeReader {
  readonly pipe: string;
  readonly #copy: string;
  readonly #child: ChildProcess;
  readonly #end = (): void => void this.#child.kill("SIGKILL");
  readonly #timer: ReturnType<typeof setTimeout>;

  /** Makes the pipe at `path` and begins to read it. */
  constructor(path: string) {
    this.pipe = path;
    this.#copy = `${path}.copy`;
    makePipe(path);
    // Read and write: that never waits for another end, and never sees the end of the stream.
    const from = openSync(path, "r+"), to = openSync(this.#copy, "w");
    this.#child = spawn("cat", { stdio: [from, to, "inherit"] });
    closeSync(from);
    closeSync(to);
    this.#timer = setTimeout(this.#end, DEADLINE_MS);
    process.on("exit", this.#end);
  }

  get text(): string {
    return readFileSync(this.#copy, "latin1");
  }

  /** What it has read, cut at newlines. */
  get lines(): string[] {
    return this.text.split("\n");
  }

  stop(): void {
    this.#child.kill("SIGSTOP");
  }

  goOn(): void {
    this.#child.kill("SIGCONT");
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    process.off("exit", this.#end);
    this.#end();
  }
}
