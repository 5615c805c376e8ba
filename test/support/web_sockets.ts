// WebSockets by the package ws, server and client, with promises: what arrives is kept until it is asked for.
import { createServer, type Server as NodeServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { RawData, WebSocket, WebSocketServer } from "ws";
import { within } from "./waiting.ts";

// Bun has a substitute of its own for "ws"; the package itself is found by its path.
const path = new URL("../../node_modules/ws/wrapper.mjs", import.meta.url).href;
const ws: typeof import("ws") & { readonly default: typeof WebSocket } = await import(path);

export interface Closing {
  readonly code: number;
  readonly reason: string;
}

/** A message as it arrived: a text, or bytes. */
export type Said = string | Buffer;

/** One end of a WebSocket. */
export class Talk {
  readonly socket: WebSocket;
  readonly closed: Promise<Closing>;
  readonly #messages: Said[] = [];
  #changed: () => void = () => {};
  /** What takes messages instead of keeping them. */
  #hear: ((said: Said) => void) | undefined;

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.binaryType = "nodebuffer";
    socket.on("message", (data: RawData, isBinary: boolean) => {
      const said = isBinary ? data as Buffer : data.toString();
      if (this.#hear !== undefined) return this.#hear(said);
      this.#messages.push(said);
      this.#changed();
    });
    socket.on("error", () => {}); // its close follows
    this.closed = new Promise((resolve) => {
      socket.on("close", (code: number, reason: Buffer) => resolve({ code, reason: reason.toString() }));
    });
  }

  /** Resolves once the server has agreed. */
  static async connect(port: number, target = "/", protocols: readonly string[] = []): Promise<Talk> {
    const socket = new ws.default(`ws://127.0.0.1:${port}${target}`, [...protocols]);
    const talk = new Talk(socket);
    const opened = new Promise<Talk>((resolve, reject) => {
      socket.once("open", () => resolve(talk));
      socket.once("error", reject);
    });
    return await within("a WebSocket to open", opened);
  }

  send(data: Said): Promise<void> {
    return new Promise((resolve, reject) => {
      this.socket.send(data, (error) => error ? reject(error) : resolve());
    });
  }

  /** Sends one message in several frames. */
  sendFrames(parts: readonly Said[]): void {
    for (const [at, part] of parts.entries()) this.socket.send(part, { fin: at === parts.length - 1 });
  }

  /** From now on messages are not kept: `hear` gets them as they come. */
  hear(hear: (said: Said) => void): void {
    this.#hear = hear;
  }

  /** The next message. */
  async next(): Promise<Said> {
    if (this.#messages.length === 0) {
      await within("a message", new Promise<void>((resolve) => this.#changed = resolve));
    }
    this.#changed = () => {};
    return this.#messages.shift()!;
  }

  /** Resolves when the other end has answered a ping. */
  async ping(data: string): Promise<string> {
    const answered = new Promise<string>((resolve) =>
      this.socket.once("pong", (said) => resolve(said.toString()))
    );
    this.socket.ping(data);
    return await within("a pong", answered);
  }

  async close(code: number, reason: string): Promise<Closing> {
    this.socket.close(code, reason);
    return await within("a WebSocket to close", this.closed);
  }

  [Symbol.dispose](): void {
    this.socket.terminate();
  }
}

/** A server of WebSockets; each one is given to `serve`, and kept in `talks`. */
export class WebSocketOrigin {
  readonly address: string;
  readonly talks: Talk[] = [];
  /** What each client asked for. */
  readonly targets: string[] = [];
  readonly #http: NodeServer;
  readonly #server: WebSocketServer;

  static async listen(serve: (talk: Talk) => void): Promise<WebSocketOrigin> {
    const http = createServer((_, response) => response.end("no WebSocket"));
    await within("a server to listen", new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve)));
    return new WebSocketOrigin(http, serve);
  }

  private constructor(http: NodeServer, serve: (talk: Talk) => void) {
    this.#http = http;
    this.address = `127.0.0.1:${(http.address() as AddressInfo).port}`;
    this.#server = new ws.WebSocketServer({
      server: http,
      maxPayload: 64 << 20,
      handleProtocols: (offered) => [...offered].at(-1) ?? false,
    });
    this.#server.on("connection", (socket, request) => {
      const talk = new Talk(socket);
      this.talks.push(talk);
      this.targets.push(request.url ?? "");
      serve(talk);
    });
  }

  [Symbol.dispose](): void {
    for (const talk of this.talks) talk[Symbol.dispose]();
    this.#server.close();
    this.#http.closeAllConnections();
    this.#http.close();
  }
}

/** Says what it hears, in one frame. */
export function echo(talk: Talk): void {
  talk.hear((said) => talk.socket.send(said));
}
