// The log Worker, from outside: born, replaced when it dies by a bug, told to leave. Nothing depends on it but
// the lines: while there is none they wait in the rings.
import { Worker } from "node:worker_threads";
import type { LogBirth } from "./log_writer.ts";

/** One that dies more often in a minute waits for the next minute: traffic goes on without its log. */
const DEATHS_PER_MINUTE_MAX = 10;
const MINUTE_MS = 60_000;

export class LogThread {
  readonly #entry: URL;
  readonly #birth: LogBirth;
  readonly #died: (error: string, again: boolean) => void;
  #worker: Worker | undefined;
  #deathTimes: number[] = [];
  /** Those that died by a bug. */
  deaths = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #leaving = false;
  #gone: () => void = () => {};
  readonly #whenGone = new Promise<void>((resolve) => this.#gone = resolve);

  /** Starts one. @param died is told of each death, and whether there are too many to go on at once */
  constructor(entry: URL, birth: LogBirth, died: (error: string, tooMany: boolean) => void) {
    this.#entry = entry;
    this.#birth = birth;
    this.#died = died;
    this.#spawn();
  }

  /** Resolves once it has left, as it was told by the shared words, at the latest after `deadlineMs`: one that is
   * stuck is left to the process's end. @returns whether it has left */
  async left(deadlineMs: number): Promise<boolean> {
    const gone = this.gone();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => timer = setTimeout(resolve, deadlineMs));
    await Promise.race([gone, late]);
    clearTimeout(timer);
    return this.#worker === undefined;
  }

  /** Resolves once it has left, as it was told by the shared words. */
  gone(): Promise<void> {
    this.#leaving = true;
    clearTimeout(this.#timer);
    if (this.#worker === undefined) this.#gone();
    return this.#whenGone;
  }

  #spawn(): void {
    const worker = new Worker(this.#entry, { workerData: { birth: this.#birth } });
    this.#worker = worker;
    let death: string | undefined;
    worker.on("error", (error: unknown) => {
      death = error instanceof Error ? error.stack ?? error.message : String(error);
    });
    worker.on("exit", (status: number) => {
      this.#worker = undefined;
      if (this.#leaving) this.#gone();
      else this.#replace(death ?? `exit status ${status}`);
    });
  }

  #replace(error: string): void {
    const now = performance.now();
    this.deaths++;
    this.#deathTimes = [...this.#deathTimes.filter((at) => now - at < MINUTE_MS), now];
    const tooMany = this.#deathTimes.length > DEATHS_PER_MINUTE_MAX;
    this.#died(error, tooMany);
    if (tooMany) this.#timer = setTimeout(() => this.#spawn(), MINUTE_MS);
    else this.#spawn();
  }
}
