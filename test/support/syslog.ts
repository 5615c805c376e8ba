// Syslog servers that hold what they get against RFC 5424: over UDP, over TCP with counted octets (RFC 6587), and
// over a unix datagram socket, which neither runtime has: there it is a child process.
import { Buffer } from "node:buffer";
import { type ChildProcess, spawn } from "node:child_process";
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { until, within } from "./waiting.ts";

export interface SyslogMessage {
  readonly facility: number;
  readonly severity: number;
  readonly time: string;
  readonly hostname: string;
  readonly app: string;
  readonly pid: string;
  readonly id: string;
  readonly text: string;
}

/** RFC 5424 section 6, without structured data. */
const MESSAGE = new RegExp(
  "^<(0|[1-9][0-9]{0,2})>1 ([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{1,6}Z) " +
    "([!-~]{1,255}) ([!-~]{1,48}) ([!-~]{1,128}) ([!-~]{1,32}) - ([^\\n]+)$",
);

function parse(bytes: Buffer): SyslogMessage {
  const match = MESSAGE.exec(bytes.toString("utf8"));
  if (match === null) throw new Error(`no message by RFC 5424: ${JSON.stringify(bytes.toString("latin1"))}`);
  const [, priority, time, hostname, app, pid, id, text] = match;
  if (Number(priority) > 191) throw new Error(`priority ${priority}`);
  if (Number.isNaN(Date.parse(time))) throw new Error(`no time: ${time}`);
  return {
    facility: Number(priority) >> 3,
    severity: Number(priority) & 7,
    time,
    hostname,
    app,
    pid,
    id,
    text,
  };
}

export type Transport = "unix" | "udp" | "tcp";

export class Syslog {
  readonly messages: SyslogMessage[] = [];
  /** What was wrong with one. */
  failure: Error | undefined;
  /** As `--access-log` takes it. */
  place = "";
  #udp: UdpSocket | undefined;
  #tcp: Server | undefined;
  readonly #sockets = new Set<Socket>();
  #child: ChildProcess | undefined;
  #path = "";

  /** @param where a port of 127.0.0.1, 0 for any; the path for unix */
  static async listen(transport: Transport, where: number | string): Promise<Syslog> {
    const syslog = new Syslog();
    if (transport === "udp") await syslog.#listenUdp(Number(where));
    else if (transport === "tcp") await syslog.#listenTcp(Number(where));
    else await syslog.#listenUnix(String(where));
    return syslog;
  }

  get port(): number {
    return Number(/[0-9]+$/.exec(this.place)![0]);
  }

  /** The messages, once there are so many. */
  async received(count: number): Promise<SyslogMessage[]> {
    await until(
      `${count} messages`,
      () => this.failure !== undefined || this.messages.length >= count,
    );
    if (this.failure !== undefined) throw this.failure;
    return this.messages;
  }

  #take(bytes: Buffer): void {
    try {
      this.messages.push(parse(bytes));
    } catch (error) {
      this.failure ??= error as Error;
    }
  }

  async #listenUdp(port: number): Promise<void> {
    const socket = createSocket({ type: "udp4", recvBufferSize: 1 << 20 });
    socket.on("message", (bytes) => this.#take(bytes));
    await within("UDP", new Promise<void>((resolve) => socket.bind(port, "127.0.0.1", resolve)));
    this.#udp = socket;
    this.place = `syslog:udp://127.0.0.1:${socket.address().port}`;
  }

  async #listenTcp(port: number): Promise<void> {
    const server = createServer((socket) => {
      let rest: Buffer = Buffer.alloc(0);
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => this.#sockets.delete(socket));
      socket.on("data", (bytes: Buffer) => {
        rest = Buffer.concat([rest, bytes]);
        for (;;) {
          const count = /^([1-9][0-9]{0,4}) /.exec(rest.toString("latin1", 0, 8));
          if (count === null) {
            if (rest.length >= 8) this.failure ??= new Error(`no count: ${rest.toString("latin1", 0, 40)}`);
            return;
          }
          const from = count[0].length, end = from + Number(count[1]);
          if (rest.length < end) return;
          this.#take(rest.subarray(from, end));
          rest = rest.subarray(end);
        }
      });
    });
    await within("TCP", new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve)));
    this.#tcp = server;
    this.place = `syslog:tcp://127.0.0.1:${(server.address() as { port: number }).port}`;
  }

  /** Prints what it gets in hex, a datagram a line. */
  async #listenUnix(path: string): Promise<void> {
    rmSync(path, { force: true });
    const program = `use Socket; $| = 1; alarm 60; socket(S, AF_UNIX, SOCK_DGRAM, 0) or die $!;
      bind(S, sockaddr_un($ARGV[0])) or die $!; print "\\n";
      while (defined recv(S, $m, 65536, 0)) { print unpack("H*", $m), "\\n" }`;
    const child = spawn("perl", ["-e", program, path], { stdio: ["ignore", "pipe", "inherit"] });
    this.#child = child;
    this.#path = path;
    this.place = `syslog:unix:${path}`;
    let text = "", isReady = false;
    child.stdout.setEncoding("latin1").on("data", (part: string) => {
      text += part;
      for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
        if (isReady) this.#take(Buffer.from(text.slice(0, end), "hex"));
        isReady = true;
        text = text.slice(end + 1);
      }
    });
    await until("a unix datagram socket", () => isReady);
  }

  /** Stops and lets it go on: what is sent meanwhile waits in the kernel, as far as there is room. */
  pause(on: boolean): void {
    this.#child?.kill(on ? "SIGSTOP" : "SIGCONT");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#udp !== undefined) {
      const closed = new Promise<void>((resolve) => this.#udp!.close(() => resolve()));
      await within("UDP to close", closed);
    }
    if (this.#tcp !== undefined) {
      const closed = new Promise<void>((resolve) => this.#tcp!.close(() => resolve()));
      for (const socket of this.#sockets) socket.destroy();
      await within("TCP to close", closed);
    }
    if (this.#child !== undefined && this.#child.exitCode === null) {
      const gone = new Promise<void>((resolve) => this.#child!.on("exit", () => resolve()));
      this.#child.kill("SIGKILL");
      await within("the child to end", gone);
      rmSync(this.#path, { force: true });
    }
    this.#udp = this.#tcp = this.#child = undefined;
  }
}
