// The connection between the process that runs and the one that is to follow it: messages of JSON, in order, some with
// file descriptors; larger things travel as memory (format.ts). Neither side blocks: both look again every few
// milliseconds, which happens during an upgrade and never else.
//
//   new: hello        who it is, which formats it reads
//   old: state        memory with the state, and behind it in further messages the listening sockets
//   new: prepared     all is there but for sessions, nothing is watched; or failed, with the lines that say why
//   old: switch       it reads no datagram any more; memory with the sessions, behind it their sockets
//   new: ready        it watches: from here on there is no way back
//   old: released     it watches nothing, and has closed its admin API
//   new: complete     its own is open
//
// Whoever finds the other one gone before `ready` goes its old way: the old one serves, the new one ends.
import { EAGAIN, ECONNRESET, EPIPE, errnoName, ETOOMANYREFS } from "../../sys/errno.ts";
import { sys } from "../../sys/sys.ts";

export type Message =
  | {
    readonly kind: "hello";
    readonly version: string;
    readonly pid: number;
    readonly oldest: number;
    readonly newest: number;
  }
  | { readonly kind: "state"; readonly sockets: number }
  /** Of the state's sockets, or of sessions: with the descriptors of the next ones. */
  | { readonly kind: "more" }
  | { readonly kind: "prepared" }
  | { readonly kind: "failed"; readonly lines: readonly string[] }
  | { readonly kind: "switch"; readonly sessions: number }
  | { readonly kind: "ready"; readonly sessions: number }
  | { readonly kind: "released" }
  | { readonly kind: "complete"; readonly admin: string | null };

export interface Received {
  readonly message: Message;
  readonly fds: readonly number[];
}

/** Descriptors of one message: SCM_MAX_FD, unix(7). */
export const FDS_PER_MESSAGE = 253;
/** Of one message; the buffers of a socket hold more by default. */
const MESSAGE_BYTES_MAX = 32 << 10;
const LOOK_MS = 2;

/** The other one is gone, or says nothing, or something else. */
export class ChannelError extends Error {
  override name = "ChannelError";
  /** Its end of the channel is closed. */
  readonly isGone: boolean;

  constructor(message: string, isGone = false) {
    super(message);
    this.isGone = isGone;
  }
}

export class Channel {
  readonly #fd: number;
  readonly #bytes = new Uint8Array(MESSAGE_BYTES_MAX);
  readonly #fds = new Int32Array(1 + FDS_PER_MESSAGE);
  #closed = false;

  /** Takes over `fd`. The library is open. */
  constructor(fd: number) {
    this.#fd = fd;
  }

  /** The two ends: ours, and the descriptor of the other one's. @throws ChannelError */
  static pair(): [ours: Channel, theirs: number] {
    const fds = new Int32Array(2), made = sys.handover_pair(bytesOf(fds));
    if (made < 0) throw new ChannelError(`no socket can be made: ${errnoName(-made)}`);
    return [new Channel(fds[0]), fds[1]];
  }

  /** Sends a message, with copies of `fds`. @throws ChannelError when it cannot be sent by `untilMs` (performance.now) */
  async send(message: Message, untilMs: number, fds: readonly number[] = []): Promise<void> {
    const bytes = new TextEncoder().encode(JSON.stringify(message)), passed = new Int32Array([...fds, 0]);
    for (;;) {
      if (this.#closed) throw new ChannelError("the upgrade was given up");
      const sent = sys.handover_send(this.#fd, bytes, bytes.length, bytesOf(passed), fds.length);
      if (sent === 0) return;
      if (sent === -EPIPE || sent === -ECONNRESET) throw new ChannelError(GONE, true);
      if (sent !== -EAGAIN && sent !== -ETOOMANYREFS) {
        throw new ChannelError(`sending failed: ${errnoName(-sent)}`);
      }
      if (performance.now() > untilMs) throw new ChannelError("it does not read what it is sent");
      await pause();
    }
  }

  /** The next message. `gone` says that the other process has ended, where its end of this may be held by others.
   * @throws ChannelError when there is none by `untilMs` */
  async receive(untilMs: number, gone: () => boolean = () => false): Promise<Received> {
    for (;;) {
      const isGone = gone(), received = this.#tryReceive();
      if (received !== undefined) return received;
      if (isGone) throw new ChannelError(GONE, true);
      if (performance.now() > untilMs) throw new ChannelError("it says nothing");
      await pause();
    }
  }

  /** `count` descriptors, which come in messages of their own. @throws ChannelError */
  async receiveFds(count: number, untilMs: number): Promise<number[]> {
    const fds: number[] = [];
    try {
      while (fds.length < count) {
        const { message, fds: more } = await this.receive(untilMs);
        fds.push(...more);
        if (message.kind !== "more" || more.length === 0) throw new ChannelError(`it says ${message.kind}`);
      }
    } catch (error) {
      closeAll(fds);
      throw error;
    }
    return fds;
  }

  async sendFds(fds: readonly number[], untilMs: number): Promise<void> {
    for (let at = 0; at < fds.length; at += FDS_PER_MESSAGE) {
      await this.send({ kind: "more" }, untilMs, fds.slice(at, at + FDS_PER_MESSAGE));
    }
  }

  close(): void {
    if (!this.#closed) sys.handover_close(this.#fd);
    this.#closed = true;
  }

  #tryReceive(): Received | undefined {
    if (this.#closed) throw new ChannelError("the upgrade was given up");
    const came = sys.handover_recv(this.#fd, this.#bytes, this.#bytes.length, bytesOf(this.#fds));
    if (came === -EAGAIN) return undefined;
    if (came === 0 || came === -ECONNRESET) throw new ChannelError(GONE, true);
    if (came < 0) throw new ChannelError(`what it says cannot be read: ${errnoName(-came)}`);
    const fds = [...this.#fds.subarray(1, 1 + this.#fds[0])];
    try {
      const message = JSON.parse(new TextDecoder().decode(this.#bytes.subarray(0, came))) as Message;
      if (typeof message?.kind === "string") return { message, fds };
    } catch {
      // no message of ours
    }
    closeAll(fds);
    throw new ChannelError("what it says is not understood");
  }
}

const GONE = "it is gone";

export function closeAll(fds: readonly number[]): void {
  for (const fd of fds) sys.handover_close(fd);
}

function bytesOf(ints: Int32Array): Uint8Array {
  return new Uint8Array(ints.buffer);
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, LOOK_MS));
}
