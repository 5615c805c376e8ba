// Both ends of UDP: sockets that remember what came, and that can be waited for.
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { within } from "./waiting.ts";

export interface Datagram {
  readonly bytes: Buffer;
  readonly from: { readonly address: string; readonly port: number };
}

/** A socket of its own port on loopback, closed at the end of its block. */
export class Datagrams {
  readonly #socket: Socket;
  readonly #came: Datagram[] = [];
  #look: () => void = () => {};
  /** What is sent back for each datagram. */
  reply: (datagram: Datagram) => readonly (string | Uint8Array)[] = () => [];
  /** How many came, whether or not somebody took them. */
  count = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("error", () => {}); // ICMP about what was sent to a client that is gone
    socket.on("message", (bytes, { address, port }) => {
      const datagram = { bytes, from: { address, port } };
      this.count++;
      for (const answer of this.reply(datagram)) socket.send(answer, port, address);
      this.#came.push(datagram);
      this.#look();
    });
  }

  /** @param port 0: the kernel chooses */
  static async open(ip = "127.0.0.1", port = 0): Promise<Datagrams> {
    const socket = createSocket({ type: ip.includes(":") ? "udp6" : "udp4", recvBufferSize: 4 << 20 });
    socket.bind(port, ip);
    await once(socket, "listening");
    return new Datagrams(socket);
  }

  /** One that sends everything back. */
  static async echo(ip = "127.0.0.1", port = 0): Promise<Datagrams> {
    const server = await Datagrams.open(ip, port);
    server.reply = ({ bytes }) => [bytes];
    return server;
  }

  get port(): number {
    return this.#socket.address().port;
  }

  /** `IP:PORT` */
  get address(): string {
    const { address, port } = this.#socket.address();
    return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
  }

  send(bytes: string | Uint8Array, port: number, ip = "127.0.0.1"): void {
    this.#socket.send(bytes, port, ip);
  }

  /** The next datagram that came. */
  async next(): Promise<Datagram> {
    const [datagram] = await this.take(1);
    return datagram;
  }

  /** The next `count` of them. */
  async take(count: number): Promise<Datagram[]> {
    const came = new Promise<void>((resolve) => {
      this.#look = () => {
        if (this.#came.length >= count) resolve();
      };
    });
    this.#look();
    await within(`${count} datagrams (${this.#came.length} came)`, came);
    return this.#came.splice(0, count);
  }

  /** Sends and returns the answer's text. */
  async ask(text: string, port: number, ip = "127.0.0.1"): Promise<string> {
    this.send(text, port, ip);
    return (await this.next()).bytes.toString();
  }

  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    try {
      this.close();
    } catch {
      // it is closed already
    }
  }
}

/** A port of UDP that nobody listens on. */
export async function freeUdpPort(ip?: string): Promise<number> {
  using datagrams = await Datagrams.open(ip);
  return datagrams.port;
}
