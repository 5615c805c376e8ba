// Small servers inside the test's own process: they answer by a function, or hand each connection to the
// test. Also what no server does: a port that never answers, one where nobody listens.
import { createServer, type Server as NetServer } from "node:net";
import { Peer, type Where } from "./peer.ts";
import { within } from "./waiting.ts";

export type Serve = (peer: Peer) => void | Promise<void>;

export class Server {
  /** As a target of Sluice: `127.0.0.1:40000`, `[::1]:40000`, `unix:/path`. */
  readonly address: string;
  readonly port: number;
  readonly #server: NetServer;
  readonly #peers: ReadonlySet<Peer>;
  readonly #waiting: Peer[];
  readonly #takers: ((peer: Peer) => void)[];
  /** Connections so far. */
  readonly #count: { connections: number };

  /** Without `serve`, connections wait for `accept`. Port 0 chooses one. */
  static listen(serve?: Serve, where: Where = 0): Promise<Server> {
    const peers = new Set<Peer>(), waiting: Peer[] = [], takers: ((peer: Peer) => void)[] = [];
    const count = { connections: 0 };
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      const peer = new Peer(socket);
      count.connections++;
      peers.add(peer);
      socket.on("close", () => peers.delete(peer));
      if (serve !== undefined) {
        // A connection that breaks ends its own service; a test that cares asks its client.
        Promise.resolve(serve(peer)).catch(() => socket.destroy());
        return;
      }
      const taker = takers.shift();
      if (taker === undefined) waiting.push(peer);
      else taker(peer);
    });
    const target = typeof where === "number" ? { host: "127.0.0.1", port: where } : where;
    return within(
      "a server to listen",
      new Promise((resolve, reject) => {
        server.on("error", reject);
        server.listen(target, () => resolve(new Server(server, peers, waiting, takers, count)));
      }),
    );
  }

  private constructor(
    server: NetServer,
    peers: ReadonlySet<Peer>,
    waiting: Peer[],
    takers: ((peer: Peer) => void)[],
    count: { connections: number },
  ) {
    this.#server = server;
    this.#peers = peers;
    this.#waiting = waiting;
    this.#takers = takers;
    this.#count = count;
    const at = server.address();
    if (at === null) throw new Error("a server that listens nowhere");
    this.port = typeof at === "string" ? 0 : at.port;
    this.address = typeof at === "string"
      ? `unix:${at}`
      : at.address.includes(":")
      ? `[${at.address}]:${at.port}`
      : `${at.address}:${at.port}`;
  }

  /** Connections that have come so far. */
  get connections(): number {
    return this.#count.connections;
  }

  /** The next connection. */
  accept(): Promise<Peer> {
    const peer = this.#waiting.shift();
    if (peer !== undefined) return Promise.resolve(peer);
    return within("a connection to the server", new Promise((resolve) => this.#takers.push(resolve)));
  }

  /** Takes no further connections; those that it has go on. */
  stop(): void {
    this.#server.close();
  }

  /** Gone at once, with its connections: as if its process was killed. */
  kill(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const peer of this.#peers) peer.reset();
    return within("a server to close", closed);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#server.listening) await this.kill();
  }
}

/** Answers with what it hears, and ends when the client does. */
export const echo: Serve = (peer) => {
  peer.socket.pipe(peer.socket);
};

/** Says its name and ends. */
export const sayAndEnd = (name: string): Serve => async (peer) => {
  await peer.send(name);
  peer.end();
};

/** Takes connections and never says anything. */
export const silent: Serve = () => {};

/** A port of 127.0.0.1 where nobody listens: it was free a moment ago. */
export async function freePort(): Promise<number> {
  await using server = await Server.listen();
  return server.port;
}
