// A server that never answers a connect: its queue is full and nobody takes from it, so the kernel drops
// what else knocks, as a firewall would. The runtime's own listening sockets accept at once; this one is
// made by hand.
import { dlopen } from "bun:ffi";
import { connect, type Socket } from "node:net";
import { until } from "./waiting.ts";

const { symbols: libc } = dlopen("libc.so.6", {
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
  listen: { args: ["i32", "i32"], returns: "i32" },
  getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  close: { args: ["i32"], returns: "i32" },
});
const AF_INET = 2;
const SOCK_STREAM_CLOEXEC = 1 | 0o2000000;
const ADDRESS_BYTES = 16;
/** A connect to a full queue is not answered; one to a free place is, well within this. */
const ANSWER_MS = 200;

export class BlackHole {
  readonly address: string;
  readonly #fd: number;
  readonly #fillers: Socket[] = [];

  static async open(): Promise<BlackHole> {
    const hole = new BlackHole();
    await until("the queue to be full", () => hole.#knockInVain());
    return hole;
  }

  private constructor() {
    const address = Buffer.alloc(ADDRESS_BYTES);
    address.writeUInt16LE(AF_INET, 0);
    address.set([127, 0, 0, 1], 4);
    this.#fd = libc.socket(AF_INET, SOCK_STREAM_CLOEXEC, 0);
    if (libc.bind(this.#fd, address, ADDRESS_BYTES) !== 0) throw new Error("cannot bind");
    if (libc.listen(this.#fd, 0) !== 0) throw new Error("cannot listen");
    if (libc.getsockname(this.#fd, address, new Uint32Array([ADDRESS_BYTES])) !== 0) {
      throw new Error("no address");
    }
    this.address = `127.0.0.1:${address.readUInt16BE(2)}`;
  }

  /** Takes one more place of the queue; true when there was none. */
  #knockInVain(): Promise<boolean> {
    const socket = connect({ host: "127.0.0.1", port: Number(this.address.split(":")[1]) });
    socket.on("error", () => {});
    this.#fillers.push(socket);
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(true), ANSWER_MS);
      socket.once("connect", () => {
        clearTimeout(timer);
        resolve(false);
      });
    });
  }

  [Symbol.dispose](): void {
    for (const socket of this.#fillers) socket.destroy();
    libc.close(this.#fd);
  }
}
