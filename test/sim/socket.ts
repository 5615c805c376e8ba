// One TCP socket of Sluice as Linux keeps it, with its other end in the world. What the calls answer and
// what epoll says follow tcp_recvmsg, tcp_sendmsg, tcp_poll and tcp_reset: an error is told once; after
// an end of stream a read says 0, reset or not; a close with unread bytes is a reset; room to write is
// told only to whom lacked it, and only when a third is free.
import { EAGAIN, ECONNRESET, ENOTCONN, EPIPE } from "../../src/sys/errno.ts";
import { Bytes } from "./bytes.ts";
import type { Fate, Session } from "./session.ts";

/** As in <sys/epoll.h>. */
export const EPOLLIN = 0x001,
  EPOLLPRI = 0x002,
  EPOLLOUT = 0x004,
  EPOLLERR = 0x008,
  EPOLLHUP = 0x010,
  EPOLLRDHUP = 0x2000;

export class Socket {
  /** Arrived and not yet read. */
  readonly rx = new Bytes();
  /** Sent and not yet read by the other end: both buffers and the network between them. */
  readonly tx = new Bytes();
  readonly rxMax: number;
  readonly txMax: number;
  connecting: boolean;
  /** The other end's end of stream has arrived: everything before it is in `rx` or read. */
  finIn = false;
  /** Ours is sent, behind what is in `tx`. */
  shut = false;
  /** Reset, or never connected (TCP_CLOSE). */
  broken = false;
  /** SO_ERROR. */
  error = 0;
  /** We have closed it. */
  closed = false;
  /** A read may stop at a boundary though there is more: a unix socket, or one with urgent data. */
  pieces = false;
  /** The other end is told of a reset. */
  resetOut = false;
  /** What becomes of a session of TLS on it, and the session once it has begun. */
  fate: Fate = { notifies: true, handshake: "well" };
  session: Session | undefined;
  /** When its owner was last told of it. */
  touchedMs = 0;
  /** When it last took bytes that were sent to it. */
  tookMs = 0;

  /** Epoll is to look at it again; `bytes`: only because bytes have come. */
  onEdge: (bytes: boolean) => void = () => {};
  /** The other end is to look at it again. */
  onFar: () => void = () => {};
  /** We are about to read or write: what the other end does now, no event has told. */
  onTouch: (writing: boolean) => void = () => {};
  /** We have sent these bytes, whether they will be read or not. */
  onSend: (view: Uint8Array) => void = () => {};
  #lacksRoom = false;

  constructor(rxMax: number, txMax: number, connecting: boolean) {
    this.rxMax = rxMax;
    this.txMax = txMax;
    this.connecting = connecting;
  }

  // ---- what the world does to it ----

  /** How many bytes the other end may send now. */
  get window(): number {
    return this.connecting || this.broken ? 0 : Math.max(0, this.rxMax - this.rx.length);
  }

  /** Bytes that have arrived and that nobody has read, in the kernel or in a session. */
  get unread(): number {
    return this.rx.length + (this.session?.length ?? 0);
  }

  /** The other end sees the end of our stream. */
  get finOut(): boolean {
    return this.shut && this.tx.length === 0 && !this.resetOut && !this.broken;
  }

  established(): void {
    if (this.closed) return;
    this.connecting = false;
    this.onEdge(false);
  }

  /** A connect that came to nothing. */
  failed(errno: number): void {
    if (this.closed) return;
    this.connecting = false;
    this.broken = true;
    this.error = errno;
    this.onEdge(false);
  }

  arrive(view: Uint8Array): void {
    if (this.broken) return;
    if (this.closed) return this.#resetOther(); // nobody will ever read it
    this.rx.push(view);
    this.onEdge(true);
  }

  /** Urgent data among what comes. */
  arriveUrgent(): void {
    if (this.broken || this.closed) return;
    this.pieces = true;
    this.onEdge(true);
  }

  arriveFin(): void {
    if (this.broken || this.closed) return;
    this.finIn = true;
    this.onEdge(false);
  }

  arriveReset(): void {
    if (this.broken || (this.finIn && this.shut && this.tx.length === 0)) return; // already over
    this.broken = true;
    this.tx.clear();
    if (this.closed) return;
    this.error = this.finIn && !this.shut ? EPIPE : ECONNRESET;
    this.onEdge(false);
  }

  /** The other end reads. */
  pull(most: number, take: (view: Uint8Array) => void): number {
    const taken = this.tx.take(most, take);
    if (this.#lacksRoom && this.#isWritable && !this.closed && !this.broken) {
      this.#lacksRoom = false;
      this.onEdge(false);
    }
    return taken;
  }

  // ---- what we do with it: bytes or -errno ----

  recv(most: number, give: (view: Uint8Array) => void, pieces?: number): number {
    if (this.rx.length > 0) {
      const taken = this.rx.take(most, give, pieces);
      this.onFar();
      return taken;
    }
    if (this.finIn) return 0;
    if (this.error !== 0) return this.takeError();
    return this.broken ? 0 : -EAGAIN;
  }

  /** Like recv, and nothing is taken. */
  peek(most: number, give: (view: Uint8Array) => void): number {
    return this.rx.length > 0 ? this.rx.peek(most, give) : this.recv(most, give);
  }

  /** How many bytes it would take now, or -errno. */
  room(): number {
    if (this.error !== 0) return this.takeError();
    if (this.shut || this.broken) return -EPIPE;
    if (this.txMax > this.tx.length) return this.txMax - this.tx.length;
    this.#lacksRoom = true;
    return -EAGAIN;
  }

  /** Takes bytes that there is room for; a caller who had more (`short`) is told when more fits. */
  send(view: Uint8Array, short: boolean): void {
    this.tx.push(view);
    if (short) this.#lacksRoom = true;
    this.onSend(view);
    this.onFar();
  }

  shutdown(): number {
    if (this.broken) return -ENOTCONN;
    this.shut = true;
    this.onEdge(false);
    this.onFar();
    return 0;
  }

  close(reset: boolean): void {
    this.closed = true;
    this.onEdge = () => {};
    if (reset || this.rx.length > 0) return this.#resetOther();
    this.shut = true;
    this.onFar();
  }

  takeError(): number {
    const errno = this.error;
    this.error = 0;
    return errno === 0 ? 0 : -errno;
  }

  /** tcp_poll. */
  events(): number {
    if (this.connecting) return 0;
    let events = 0;
    if (this.broken || (this.finIn && this.shut)) events |= EPOLLHUP;
    if (this.broken || this.finIn) events |= EPOLLIN | EPOLLRDHUP;
    if (this.rx.length > 0 || this.session?.arrived === true) events |= EPOLLIN;
    if (this.shut || this.broken || this.#isWritable) events |= EPOLLOUT;
    else this.#lacksRoom = true;
    if (this.error !== 0) events |= EPOLLERR;
    if (this.pieces) events |= EPOLLPRI;
    return events;
  }

  get #isWritable(): boolean {
    return 3 * (this.txMax - this.tx.length) >= this.txMax;
  }

  #resetOther(): void {
    if (this.broken) return;
    this.broken = true;
    this.resetOut = true;
    this.tx.clear();
    this.onFar();
  }
}
