// A name server that knows what a test tells it: A and AAAA records with a TTL of a second, or nothing. On
// port 53 of a loopback address, where a resolv.conf can point to; that takes root.
import { createSocket, type Socket } from "node:dgram";
import { within } from "./waiting.ts";

/** Each process has its own, so that two may run at once. */
const ADDRESS = `127.77.${process.pid >> 8 & 0xff}.${process.pid & 0xff}`;
const TTL_S = 1;
const TYPE_A = 1;
const NO_SUCH_NAME = 3;
const SERVER_FAILURE = 2;

export class NameServer {
  readonly address: string = ADDRESS;
  /** IPv4 addresses by name; `"fail"`: the server has trouble of its own. */
  readonly names = new Map<string, readonly string[] | "fail">();
  /** Questions so far. */
  questions = 0;
  readonly #socket: Socket = createSocket("udp4");
  #open = true;

  static async open(): Promise<NameServer> {
    const server = new NameServer();
    const bound = new Promise<void>((resolve, reject) => {
      server.#socket.on("error", reject);
      server.#socket.bind(53, ADDRESS, resolve);
    });
    await within("a name server to listen", bound);
    server.#socket.on("message", (question, { port, address }) => {
      server.questions++;
      server.#socket.send(server.#answer(question), port, address);
    });
    return server;
  }

  /** RFC 1035 section 4: the question is repeated, each address follows as a record that points back to it. */
  #answer(question: Buffer): Buffer {
    const labels: string[] = [];
    let at = 12;
    while (question[at] !== 0) {
      labels.push(question.toString("latin1", at + 1, at + 1 + question[at]));
      at += question[at] + 1;
    }
    const type = question.readUInt16BE(at + 1);
    const known = this.names.get(labels.join(".").toLowerCase());
    const ips = known === undefined || known === "fail" || type !== TYPE_A ? [] : known;
    const head = Buffer.from(question.subarray(0, at + 5));
    const status = known === undefined ? NO_SUCH_NAME : known === "fail" ? SERVER_FAILURE : 0;
    head.writeUInt16BE(0x8180 | status, 2);
    head.writeUInt16BE(1, 4);
    head.writeUInt16BE(ips.length, 6);
    head.writeUInt32BE(0, 8);
    const records = ips.map((ip) => {
      const record = Buffer.alloc(16);
      record.writeUInt16BE(0xc00c, 0);
      record.writeUInt16BE(TYPE_A, 2);
      record.writeUInt16BE(1, 4);
      record.writeUInt32BE(TTL_S, 6);
      record.writeUInt16BE(4, 10);
      record.set(ip.split(".").map(Number), 12);
      return record;
    });
    return Buffer.concat([head, ...records]);
  }

  /** From now on nobody is there, which the kernel tells who asks. */
  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    this.#socket.close();
  }
}
