// A CA that says what a test wants: for what pebble never does. Over plain HTTP, and it verifies nothing.
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { within } from "../../support/waiting.ts";

export interface Said {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** JSON, or a text as it is. */
  readonly value?: unknown;
}

/** What was posted: the JWS's head and payload. */
export interface Posted {
  readonly head: Readonly<Record<string, unknown>>;
  readonly payload: unknown;
}

export class FakeCa {
  /** Paths without the slash, in the order in which they came. */
  readonly asked: string[] = [];
  readonly posted: Posted[] = [];
  /** By path; the rest is as a CA with one account would say it. */
  readonly says: Record<string, (posted: Posted, times: number) => Said> = {};
  readonly ca = undefined as unknown as string;
  readonly #server = createServer(async (request, response) => {
    const path = request.url!.slice(1);
    this.asked.push(path);
    const posted = await read(request);
    this.posted.push(posted);
    const times = this.asked.filter((other) => other === path).length;
    const { status = 200, headers = {}, value = "" } = (this.says[path] ?? this.#usual[path] ?? missing)(
      posted,
      times,
    );
    const nonce = path === "dir" ? {} : { "replay-nonce": `nonce-${this.asked.length}` };
    response.writeHead(status, { ...nonce, ...headers });
    response.end(typeof value === "string" ? value : JSON.stringify(value));
  });

  static async open(): Promise<FakeCa> {
    const ca = new FakeCa();
    await within(
      "a CA to listen",
      new Promise<void>((resolve) => ca.#server.listen(0, "127.0.0.1", resolve)),
    );
    return ca;
  }

  at(path: string): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/${path}`;
  }

  get directory(): string {
    return this.at("dir");
  }

  times(path: string): number {
    return this.asked.filter((other) => other === path).length;
  }

  readonly #usual: typeof this.says = {
    dir: () => ({
      value: { newNonce: this.at("nonce"), newAccount: this.at("account"), newOrder: this.at("order") },
    }),
    nonce: () => ({}),
    account: () => ({ status: 201, headers: { location: this.at("account/1") }, value: {} }),
    "account/1": () => ({ value: {} }),
    order: () => ({
      status: 201,
      headers: { location: this.at("order/1") },
      value: { status: "pending", authorizations: [this.at("authorization")], finalize: this.at("finalize") },
    }),
    authorization: () => ({ value: { status: "valid" } }),
    "order/1": () => ({ value: { status: "ready", finalize: this.at("finalize") } }),
  };

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await within("a CA to close", new Promise((resolve) => this.#server.close(resolve)));
  }
}

/** A refusal as RFC 8555 has it. */
export function problem(status: number, type: string, headers: Readonly<Record<string, string>> = {}): Said {
  return { status, headers, value: { type: `urn:ietf:params:acme:error:${type}`, detail: `${type} it is` } };
}

const missing = (): Said => problem(404, "malformed");

async function read(request: IncomingMessage): Promise<Posted> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece);
  if (pieces.length === 0) return { head: {}, payload: undefined };
  const { protected: head, payload } = JSON.parse(Buffer.concat(pieces).toString());
  const text = Buffer.from(payload, "base64url").toString();
  return {
    head: JSON.parse(Buffer.from(head, "base64url").toString()),
    payload: text === "" ? undefined : JSON.parse(text),
  };
}
