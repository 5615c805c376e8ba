// The process that is to follow this one: started, listened to, and ended if it is not to be.
import process from "node:process";
import { EAGAIN, errnoName } from "../../sys/errno.ts";
import { sys } from "../../sys/sys.ts";
import { Channel, ChannelError, type Message, type Received } from "./channel.ts";
import { type Program, UPGRADE_VARIABLE } from "./program.ts";

/** Where it finds its end of the channel (ffi/handover.c). */
const CHANNEL_FD = 3;
/** For what was killed to be gone, and for what closed its channel to say how it ended. */
const END_DEADLINE_MS = 2_000;
const LOOK_MS = 5;
const SIGNALS = 256;

export class Successor {
  readonly pid: number;
  readonly channel: Channel;
  #ended: string | undefined;

  /** Starts it, with our own standard input, output and error. @throws ChannelError when it cannot be started */
  static start({ path, words }: Program): Successor {
    const [channel, theirs] = Channel.pair();
    const env = { ...process.env, [UPGRADE_VARIABLE]: String(CHANNEL_FD) };
    const texts = Object.entries(env).flatMap(([name, value]) =>
      value === undefined ? [] : `${name}=${value}`
    );
    const all = zeroEnded([path, ...words]), environment = zeroEnded(texts);
    const pid = sys.spawn(all, all.length, environment, environment.length, theirs);
    sys.handover_close(theirs);
    if (pid > 0) return new Successor(pid, channel);
    channel.close();
    throw new ChannelError(`it cannot be started: ${errnoName(-pid)}`);
  }

  private constructor(pid: number, channel: Channel) {
    this.pid = pid;
    this.channel = channel;
  }

  /** How it ended: `status 1`, `signal 9`; undefined while it runs. */
  get ended(): string | undefined {
    if (this.#ended !== undefined) return this.#ended;
    const status = sys.spawned(this.pid);
    if (status === -EAGAIN) return undefined;
    if (status < 0) return this.#ended = "nobody knows how";
    return this.#ended = status < SIGNALS ? `status ${status}` : `signal ${status - SIGNALS}`;
  }

  /** The next message, which must be of that kind. @throws ChannelError: it is not, or what else became of it */
  async expect<K extends Message["kind"]>(
    kind: K,
    untilMs: number,
  ): Promise<{ message: Extract<Message, { kind: K }>; fds: readonly number[] }> {
    let received: Received;
    try {
      received = await this.channel.receive(untilMs, () => this.ended !== undefined);
    } catch (error) {
      if (error instanceof ChannelError && await this.#hasEnded(error)) {
        throw new ChannelError(`it ended with ${this.#ended}`);
      }
      throw error;
    }
    const { message, fds } = received;
    if (message.kind === kind) return { message: message as Extract<Message, { kind: K }>, fds };
    if (message.kind === "failed") throw new FailedError(message.lines);
    throw new ChannelError(`it says ${message.kind} where ${kind} was expected`);
  }

  /** Ends it at once, and forgets it. */
  async end(): Promise<void> {
    this.channel.close();
    if (this.ended === undefined) kill(this.pid);
    await this.#over(END_DEADLINE_MS);
  }

  /** A closed channel may be told before the end of the process. */
  #hasEnded(error: ChannelError): Promise<boolean> {
    return error.isGone ? this.#over(END_DEADLINE_MS) : Promise.resolve(this.ended !== undefined);
  }

  async #over(deadlineMs: number): Promise<boolean> {
    const end = performance.now() + deadlineMs;
    while (this.ended === undefined && performance.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
    return this.ended !== undefined;
  }
}

/** It said why it cannot start. */
export class FailedError extends Error {
  override name = "FailedError";
  readonly lines: readonly string[];

  constructor(lines: readonly string[]) {
    const texts = lines.filter((line) => typeof line === "string");
    super(texts[0] ?? "it does not say why");
    this.lines = texts;
  }
}

/** It is our child and was not waited for: the number is nobody else's. */
function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // it is gone
  }
}

/** As execve(2) wants them, each with a zero byte behind it. */
function zeroEnded(texts: readonly string[]): Uint8Array {
  return new TextEncoder().encode(texts.map((text) => `${text}\0`).join(""));
}
