// One end of a stream socket in the hands of a test, client or server: it sends and reads exact bytes,
// ends its side, resets, or lets the other end wait. Nothing is read from the kernel unless asked for, so a
// test that does not read is a slow reader.
import { connect, type Socket } from "node:net";
import { within } from "./waiting.ts";

/** Where to connect to, or to listen: a port on 127.0.0.1, a host and port, or a unix socket. */
export type Where = number | { readonly host: string; readonly port: number } | { readonly path: string };

/** How the other end left: politely, or with a reset. */
export type Ending = "fin" | "reset";

export class Peer {
  readonly socket: Socket;
  /** The own address as an access record shows it: `127.0.0.1:40000`. */
  readonly address: string;
  #parts: Buffer[] = [];
  #bytes = 0;
  #ending: Ending | undefined;
  /** Called at whatever happens. */
  #changed: () => void = () => {};

  /** Takes over a socket with `allowHalfOpen`, before its first byte. */
  constructor(socket: Socket) {
    this.socket = socket;
    const { localAddress = "", localPort } = socket;
    this.address = `${localAddress.includes(":") ? `[${localAddress}]` : localAddress}:${localPort}`;
    socket.setNoDelay(true);
    socket.on("data", (part: Buffer) => {
      this.#parts.push(part);
      this.#bytes += part.length;
      this.#change();
    });
    socket.on("end", () => this.#end("fin"));
    socket.on("error", () => this.#end("reset"));
    socket.on("close", (broken: boolean) => this.#end(broken ? "reset" : "fin"));
    socket.pause();
  }

  /** Resolves once connected, rejects when refused. `from` is the source address. */
  static connect(where: Where, from?: string): Promise<Peer> {
    const target = typeof where === "number" ? { host: "127.0.0.1", port: where } : where;
    const socket = connect({
      ...target,
      allowHalfOpen: true,
      ...(from === undefined ? {} : { localAddress: from }),
    });
    const connected = new Promise<Peer>((resolve, reject) => {
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        resolve(new Peer(socket));
      });
    });
    return within(`a connection to ${JSON.stringify(where)}`, connected);
  }

  /** Resolves when the kernel has taken all of it; rejects when the connection broke. */
  send(bytes: string | Uint8Array): Promise<void> {
    const sent = new Promise<void>((resolve, reject) => {
      this.socket.write(bytes, (error) => error ? reject(error) : resolve());
    });
    return within("the other end to take what was sent", sent);
  }

  /** Ends this side; reading goes on. */
  end(): void {
    this.socket.end();
  }

  /** Leaves with a reset. */
  reset(): void {
    this.socket.resetAndDestroy();
  }

  /** Exactly `count` bytes. @throws when the other end left before */
  async read(count: number): Promise<Buffer> {
    await this.#until(`${count} bytes`, () => this.#bytes >= count || this.#ending !== undefined);
    if (this.#bytes < count) throw new Error(`${this.#ending} after ${this.#bytes} of ${count} bytes`);
    const all = Buffer.concat(this.#parts);
    this.#parts = all.length > count ? [all.subarray(count)] : [];
    this.#bytes = all.length - count;
    return all.subarray(0, count);
  }

  async readText(count: number): Promise<string> {
    return (await this.read(count)).toString("latin1");
  }

  /** Sends `text` and reads as many bytes: what an echo server answers. */
  async ask(text: string): Promise<string> {
    await this.send(text);
    return await this.readText(text.length);
  }

  /** Everything until the other end finishes. @throws when it resets */
  async readAll(): Promise<Buffer> {
    const ending = await this.ending();
    if (ending !== "fin") throw new Error(`${ending} after ${this.#bytes} bytes`);
    return this.taken();
  }

  /** What has been read and not yet asked for. */
  taken(): Buffer {
    const all = Buffer.concat(this.#parts);
    this.#parts = [];
    this.#bytes = 0;
    return all;
  }

  /** How the other end leaves; reads on until then. */
  async ending(): Promise<Ending> {
    await this.#until("the other end to leave", () => this.#ending !== undefined);
    return this.#ending!;
  }

  /** Whether the other end has left, as far as was read. */
  get left(): Ending | undefined {
    return this.#ending;
  }

  #end(ending: Ending): void {
    if (this.#ending !== "reset" && !(this.#ending === "fin" && ending === "fin")) this.#ending = ending;
    this.#change();
  }

  #change(): void {
    this.#changed();
  }

  async #until(what: string, condition: () => boolean): Promise<void> {
    if (condition()) return;
    const done = new Promise<void>((resolve) => {
      this.#changed = () => {
        if (condition()) resolve();
      };
    });
    this.socket.resume();
    try {
      await within(what, done);
    } finally {
      this.#changed = () => {};
      this.socket.pause();
    }
  }

  /** At the end of a block: gone, whatever it was doing. */
  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

/** How a connection ends that nobody serves. A reset may be faster than the news that it was accepted. */
export async function knock(where: Where): Promise<Ending> {
  try {
    using client = await Peer.connect(where);
    return await client.ending();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ECONNRESET") return "reset";
    throw error;
  }
}
