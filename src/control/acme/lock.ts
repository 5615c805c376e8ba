// One instance orders, the others wait: a lock in a folder that several instances share, perhaps across
// machines. Whoever holds it tells from time to time that it is alive; whoever was killed loses it.
//
// The folder has one file for each generation, and the highest one tells: held until a time, or given back.
// To take the lock is to create the next generation, which link(2) lets exactly one do, and still to see
// no higher one afterwards. The highest file is never removed, only those below it: so nobody who has
// looked at an old generation can create one that seems to be the newest. (Removing a stale lock and
// creating it again, as is usual, lets two remove it one after the other, the second one a fresh lock.)
import { randomUUID } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { link, mkdir, readdir, readFile, rename, stat, unlink } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import type { Clock } from "./clock.ts";
import { codeOf, unlessMissing, writeAside } from "./storage.ts";

/** Without a sign of life for so long, a holder is gone. Clocks of machines may differ by a part of it. */
export const LOCK_HELD_MS = 120_000;
const SIGN_OF_LIFE_MS = 20_000;
const AHEAD_MS_MAX = 10 * LOCK_HELD_MS;

interface Holder {
  /** Of this one taking. */
  readonly id: string;
  readonly pid: number;
  /** Clock ticks after boot, so that a reused pid is not taken for it. */
  readonly started: string;
  readonly host: string;
  /** Where the pid means something: this boot of this kernel, this namespace. */
  readonly world: string;
  /** Wall clock; 0: given back. */
  readonly untilMs: number;
}

export class Lock {
  readonly #folder: string;
  readonly #generation: number;
  readonly #holder: Omit<Holder, "untilMs">;
  readonly #clock: Clock;
  readonly #lost = new AbortController();
  #cancel = () => {};
  /** Given back, or about to be. */
  #isOver = false;
  /** The sign of life under way. */
  #telling: Promise<void> = Promise.resolve();

  /** @returns undefined if another one holds it. @throws if the folder cannot be used */
  static async tryTake(folder: string, clock: Clock): Promise<Lock | undefined> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const last = (await generations(folder)).at(-1) ?? 0;
    if (last > 0 && await isHeld(join(folder, String(last)), clock.nowMs())) return undefined;
    const lock = new Lock(folder, last + 1, clock);
    const unfinished = await writeAside(folder, lock.#text(clock.nowMs() + LOCK_HELD_MS));
    try {
      await link(unfinished, lock.#path);
    } catch (error) {
      if (codeOf(error) === "EEXIST") return undefined; // another one was faster
      throw error;
    } finally {
      await unlink(unfinished).catch(unlessMissing);
    }
    const all = await generations(folder);
    if (all.at(-1) !== last + 1) {
      await unlink(lock.#path).catch(unlessMissing);
      return undefined;
    }
    for (const old of all.slice(0, -1)) await unlink(join(folder, String(old))).catch(unlessMissing);
    lock.#tellLater();
    return lock;
  }

  private constructor(folder: string, generation: number, clock: Clock) {
    this.#folder = folder;
    this.#generation = generation;
    this.#clock = clock;
    this.#holder = { id: randomUUID(), pid: process.pid, started: startOf(process.pid), ...WORLD };
  }

  /** Aborted when another instance has taken it, because this one seemed to be dead. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Looks whether it is still ours. */
  async isHeld(): Promise<boolean> {
    const isLast = (await generations(this.#folder)).at(-1) === this.#generation;
    if (!isLast) this.#lost.abort(new Error("another instance has taken the lock"));
    return isLast;
  }

  /** Gives it back, if it is still ours. @throws if that cannot be written; then it ends by its time */
  async release(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#cancel();
    await this.#telling;
    if (await this.isHeld()) await this.#tell(0);
  }

  get #path(): string {
    return join(this.#folder, String(this.#generation));
  }

  #text(untilMs: number): string {
    return JSON.stringify({ ...this.#holder, untilMs } satisfies Holder) + "\n";
  }

  #tellLater(): void {
    this.#cancel = this.#clock.after(SIGN_OF_LIFE_MS, () => {
      this.#telling = this.#tellAlive();
    });
  }

  /** A sign of life that fails is followed by others before the time is over. */
  async #tellAlive(): Promise<void> {
    try {
      if (!(await this.isHeld())) return;
      await this.#tell(this.#clock.nowMs() + LOCK_HELD_MS);
    } catch {
      // Whoever wrote the certificate down next will hear of it: it is the same disk.
    }
    if (!this.#isOver) this.#tellLater();
  }

  async #tell(untilMs: number): Promise<void> {
    const unfinished = await writeAside(this.#folder, this.#text(untilMs));
    await rename(unfinished, this.#path);
  }
}

/** Ascending. */
async function generations(folder: string): Promise<number[]> {
  const names = await readdir(folder);
  return names.filter((name) => /^\d{1,15}$/.test(name)).map(Number).sort((a, b) => a - b);
}

async function isHeld(path: string, nowMs: number): Promise<boolean> {
  let holder: Partial<Holder>;
  try {
    holder = JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    if (codeOf(error) === "ENOENT") return true; // removed by whoever holds a higher one
    if (codeOf(error) !== undefined) throw error;
    // Not ours, or a disk that was full: nobody tells anything any more.
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: nowMs }));
    return nowMs - mtimeMs < LOCK_HELD_MS;
  }
  const { untilMs, pid, started, host, world } = holder;
  // A time far ahead was written by a clock that has been corrected since.
  if (typeof untilMs !== "number" || untilMs <= nowMs || untilMs > nowMs + AHEAD_MS_MAX) return false;
  const isHere = host === WORLD.host && world === WORLD.world && typeof pid === "number";
  return !isHere || startOf(pid) === started; // a dead neighbour need not be waited for
}

/** When a process started, "" if there is none. "PID (NAME) STATE ...", and NAME may hold anything. */
function startOf(pid: number): string {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    return text.slice(text.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return "";
  }
}

const WORLD: Pick<Holder, "host" | "world"> = { host: hostname(), world: worldOf() };

function worldOf(): string {
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
    return `${boot} ${readlinkSync("/proc/self/ns/pid")}`;
  } catch {
    return randomUUID(); // no two are neighbours then
  }
}
