// What a service manager that waits for word is told, as sd_notify(3) has it: that we are ready, reload, stop; who the
// main process is; and that we are alive, for as long as the control plane and every reactor turn. Without
// NOTIFY_SOCKET nothing of this happens.
import { EACCES, EAGAIN, ECONNREFUSED, EINVAL, ENOENT, errnoName } from "../sys/errno.ts";
import { sys } from "../sys/sys.ts";
import { quoted } from "./config/errors.ts";
import { monotonicMs } from "./control_room.ts";

/** What sends a datagram: 0 or -errno. */
export type Send = (path: Uint8Array, text: Uint8Array) => number;

/** Something that must turn for us to be alive. */
export interface Pulse {
  /** How often it has turned. */
  readonly turns: number;
  /** It turns at least once from here on, if it can: it may sleep for longer than the watchdog waits. */
  wake(): void;
}

const AGAIN_MS = 20;
/** Word that finds no room for so long is not waited with. */
const WAITING_MAX = 100;
/** Looks for each time that the watchdog waits: two may fail before it bites. */
const LOOKS = 4;
/** What is left after the drain: for the logs, and for Workers that leave late. */
const LEAVE_MS = 15_000;

type Environment = Record<string, string | undefined>;

export class ServiceManager {
  readonly #path: Uint8Array;
  readonly #watchdogMs: number;
  readonly #send: Send;
  readonly #warn: (line: string) => void;
  #waiting: string[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #watch: ReturnType<typeof setInterval> | undefined;
  #isTold = false;
  /** Another process speaks for the service, or there is nobody to speak to. */
  #isSilent: boolean;

  /** Of the variables NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, which goes: whom we start may keep the others. */
  constructor(env: Environment, pid: number, warn: (line: string) => void, send: Send = sendTo) {
    this.#path = new TextEncoder().encode(env.NOTIFY_SOCKET ?? "");
    this.#isSilent = this.#path.length === 0;
    this.#watchdogMs = watchdogMs(env, pid);
    this.#send = send;
    this.#warn = warn;
    delete env.WATCHDOG_PID;
  }

  /** Whether anybody wants to know. */
  get isThere(): boolean {
    return !this.#isSilent;
  }

  /** Everything listens; after a reload, again. `status` is what `systemctl status` shows. */
  ready(status: string): void {
    this.#tell("READY=1", `STATUS=${status}`);
  }

  /** A reload begins; `ready` must follow, whether or not it took. */
  reloading(status = "reloading"): void {
    if (this.#isSilent) return;
    this.#tell("RELOADING=1", `MONOTONIC_USEC=${Math.round(monotonicMs() * 1_000)}`, `STATUS=${status}`);
  }

  /** We stop, and that may take as long as connections have to finish. */
  stopping(status: string, forMs = 0): void {
    this.#tell("STOPPING=1", `EXTEND_TIMEOUT_USEC=${(forMs + LEAVE_MS) * 1_000}`, `STATUS=${status}`);
  }

  status(text: string): void {
    this.#tell(`STATUS=${text}`);
  }

  /** Another process is the service from here on, and speaks for it: nothing that we do is word of the service. */
  mainPid(pid: number): void {
    this.#tell(`MAINPID=${pid}`);
    this.#unwatch();
    this.#isSilent = true;
  }

  /** Tells the watchdog, where there is one, that we are alive: at most every quarter of its time, if in the quarter
   * before each of `pulses` has turned. */
  watch(pulses: () => readonly Pulse[]): void {
    if (this.#isSilent || this.#watchdogMs === 0 || this.#watch !== undefined) return;
    let before: readonly number[] | undefined;
    const look = () => {
      const now = pulses(), turns = now.map(({ turns }) => turns);
      const turned = before === undefined ||
        (before.length === turns.length && turns.every((count, at) => count > before![at]));
      if (turned) this.#say("WATCHDOG=1");
      before = turns;
      for (const pulse of now) pulse.wake();
    };
    this.#watch = setInterval(look, this.#watchdogMs / LOOKS);
    look();
  }

  /** Says nothing more. What could not be said yet is tried once more. */
  close(): void {
    this.#unwatch();
    clearTimeout(this.#timer);
    this.#flush();
    clearTimeout(this.#timer);
    this.#isSilent = true;
  }

  #unwatch(): void {
    clearInterval(this.#watch);
    this.#watch = undefined;
  }

  /** In order, and again where there was no room. */
  #tell(...assignments: readonly string[]): void {
    if (this.#isSilent || this.#waiting.length >= WAITING_MAX) return;
    this.#waiting.push(assignments.map((text) => text.replace(/\p{Cc}/gu, " ")).join("\n"));
    this.#flush();
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    while (this.#waiting.length > 0) {
      if (this.#say(this.#waiting[0]) === -EAGAIN) {
        this.#timer = setTimeout(() => this.#flush(), AGAIN_MS);
        return;
      }
      this.#waiting.shift();
    }
  }

  #say(text: string): number {
    const result = this.#send(this.#path, new TextEncoder().encode(text));
    if (result < 0 && result !== -EAGAIN && !this.#isTold) {
      this.#isTold = true;
      const path = quoted(new TextDecoder().decode(this.#path));
      this.#warn(`the service manager cannot be told anything at NOTIFY_SOCKET=${path}: ${whyNot(-result)}`);
    }
    return result;
  }
}

/** How long its watchdog waits, in milliseconds; 0: there is none, or it is for another process. */
export function watchdogMs(env: Environment, pid: number): number {
  const { WATCHDOG_USEC: usec = "", WATCHDOG_PID: whose = "" } = env;
  if (!/^[1-9][0-9]{3,15}$/.test(usec) || (whose !== "" && whose !== String(pid))) return 0;
  return Number(usec) / 1_000;
}

function sendTo(path: Uint8Array, text: Uint8Array): number {
  return sys.notify(path, path.length, text, text.length);
}

function whyNot(errno: number): string {
  switch (errno) {
    case ENOENT:
    case ECONNREFUSED:
      return "nobody listens there";
    case EACCES:
      return "this user may not write to it";
    case EINVAL:
      return "that is no path of a unix socket, nor a name after @";
    default:
      return errnoName(errno);
  }
}
