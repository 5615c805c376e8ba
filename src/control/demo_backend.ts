// A tiny HTTP server of the demo: answers its own name, can be stopped and started again on its port.
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

/** Another process may take the port of a stopped server for a moment. */
const AGAIN_MS = 100;

export class Backend {
  readonly name: string;
  /** Requests answered. */
  answers = 0;
  #server: Server | undefined;
  #port = 0;

  static async start(name: string): Promise<Backend> {
    const backend = new Backend(name);
    await backend.start();
    return backend;
  }

  private constructor(name: string) {
    this.name = name;
  }

  /** `127.0.0.1:PORT`, the same for life. */
  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  get isRunning(): boolean {
    return this.#server !== undefined;
  }

  async start(): Promise<void> {
    while (this.#server === undefined) {
      try {
        this.#server = await this.#listen();
      } catch (error) {
        if (this.#port === 0) throw error;
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      }
    }
  }

  /** Ends at once: connections are cut, new ones are refused. */
  stop(): void {
    this.#server?.close();
    this.#server?.closeAllConnections();
    this.#server = undefined;
  }

  #listen(): Promise<Server> {
    return new Promise((resolve, reject) => {
      const server = createServer((_, answer) => {
        this.answers++;
        answer.writeHead(200, { "Content-Type": "text/plain", "Connection": "close" });
        answer.end(`${this.name}\n`);
      });
      server.once("error", reject);
      server.listen(this.#port, "127.0.0.1", () => {
        this.#port = (server.address() as AddressInfo).port;
        resolve(server);
      });
    });
  }
}
