// An HTTP/1 server in the hands of a test: it remembers the bytes of every request, answers by a function or
// hands each connection over, and counts both.
import { HttpPeer, type Message } from "./http_peer.ts";
import { Server } from "./servers.ts";

/** What is sent; nothing: the function has sent everything itself. */
export type AnswerTo = (
  request: Message,
  connection: HttpPeer,
) => string | Uint8Array | void | Promise<string | Uint8Array | void>;

/** A whole answer of status 200. */
export function ok(body = "", fields: readonly string[] = []): string {
  const lines = ["HTTP/1.1 200 OK", ...fields, `Content-Length: ${body.length}`];
  return `${lines.join("\r\n")}\r\n\r\n${body}`;
}

export class HttpOrigin {
  readonly #server: Server;
  /** Whole requests, in the order in which they came. */
  readonly requests: Message[];

  /** Without `answer`, connections wait for `accept`. A client's end of stream ends its connection. */
  static async listen(answer?: AnswerTo, port = 0): Promise<HttpOrigin> {
    const requests: Message[] = [];
    if (answer === undefined) return new HttpOrigin(await Server.listen(undefined, port), requests);
    const server = await Server.listen(async (peer) => {
      const connection = new HttpPeer(peer);
      for (;;) {
        const request = await connection.readRequest();
        requests.push(request);
        const said = await answer(request, connection);
        if (said !== undefined) await connection.send(said);
      }
    }, port);
    return new HttpOrigin(server, requests);
  }

  private constructor(server: Server, requests: Message[]) {
    this.#server = server;
    this.requests = requests;
  }

  get address(): string {
    return this.#server.address;
  }

  get port(): number {
    return this.#server.port;
  }

  /** Connections that have come so far. */
  get connections(): number {
    return this.#server.connections;
  }

  /** The next connection. */
  async accept(): Promise<HttpPeer> {
    return new HttpPeer(await this.#server.accept());
  }

  /** Takes no further connections; those that it has go on. */
  stop(): void {
    this.#server.stop();
  }

  /** Gone at once, with its connections. */
  kill(): Promise<void> {
    return this.#server.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
  }
}
