// Three machines in a row, as network namespaces: a client's, one for Sluice in the middle, a server's. Routes of the
// middle one bring to it whatever the server sends, for connections that come from the client's own address (as
// Documentation/networking/tproxy.rst of the kernel has it). Takes root.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { within } from "./waiting.ts";

const DEADLINE_MS = 10_000;
const RUN_MS = 30_000;

export const CLIENT = "10.79.1.2";
export const MIDDLE_OF_CLIENT = "10.79.1.1";
export const MIDDLE_OF_SERVER = "10.79.2.1";
export const SERVER = "10.79.2.2";
export const CLIENT_6 = "fd79:1::2";
export const MIDDLE_OF_CLIENT_6 = "fd79:1::1";
export const SERVER_6 = "fd79:2::2";

type Side = "client" | "middle" | "server";

/** A server that tells whoever connects which address it is seen by, and then sends back what it hears. */
const TELLS = `require("node:net").createServer((socket) => {
  socket.on("error", () => {});
  socket.write(socket.remoteAddress.replace("::ffff:", "") + "\\n");
  socket.pipe(socket);
}).listen(Number(process.argv[1]), "::", () => console.log("ready"));`;

const TELLS_DATAGRAMS = `const socket = require("node:dgram").createSocket("udp6");
socket.on("message", (_, { address, port }) => socket.send(address.replace("::ffff:", ""), port, address));
socket.bind(Number(process.argv[1]), "::", () => console.log("ready"));`;

export class Networks {
  readonly #name = `sluice-row-${process.pid}`;
  readonly #children: ChildProcess[] = [];

  /** @throws where that is not possible */
  constructor() {
    process.on("exit", this.#remove);
    const [c, m, s] = (["client", "middle", "server"] as const).map((side) => this.#of(side));
    try {
      this.#run(`for one in ${c} ${m} ${s}; do ip netns add $one; ip -n $one link set lo up; done
        ip -n ${m} link add eth1 type veth peer name eth0 netns ${c}
        ip -n ${m} link add eth2 type veth peer name eth0 netns ${s}
        ip -n ${c} address add ${CLIENT}/24 dev eth0; ip -n ${c} address add ${CLIENT_6}/64 dev eth0 nodad
        ip -n ${s} address add ${SERVER}/24 dev eth0; ip -n ${s} address add ${SERVER_6}/64 dev eth0 nodad
        ip -n ${m} address add ${MIDDLE_OF_CLIENT}/24 dev eth1
        ip -n ${m} address add ${MIDDLE_OF_CLIENT_6}/64 dev eth1 nodad
        ip -n ${m} address add ${MIDDLE_OF_SERVER}/24 dev eth2; ip -n ${m} address add fd79:2::1/64 dev eth2 nodad
        for one in ${c} ${s}; do ip -n $one link set eth0 up; done
        ip -n ${m} link set eth1 up; ip -n ${m} link set eth2 up
        ip -n ${c} route add default via ${MIDDLE_OF_CLIENT}; ip -n ${c} route add default via ${MIDDLE_OF_CLIENT_6}
        ip -n ${s} route add default via ${MIDDLE_OF_SERVER}; ip -n ${s} route add default via fd79:2::1
        ip -n ${m} rule add iif eth2 lookup 100; ip -n ${m} route add local default dev lo table 100
        ip -n ${m} -6 rule add iif eth2 lookup 100; ip -n ${m} -6 route add local default dev lo table 100`);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Before a command: runs it there. */
  inside(side: Side): string[] {
    return ["ip", "netns", "exec", this.#of(side)];
  }

  /** What a shell says that runs there. */
  run(side: Side, script: string): string {
    const [program, ...words] = [...this.inside(side), "bash", "-ec", script];
    return execFileSync(program, words, {
      timeout: RUN_MS,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
  }

  /** A server in the server's network, on all its addresses. */
  async serve(port: number): Promise<void> {
    const [program, ...words] = [...this.inside("server"), process.execPath, "-e", TELLS, String(port)];
    const child = spawn(program, words, { stdio: ["ignore", "pipe", "inherit"] });
    this.#children.push(child);
    await within("a server in its network", new Promise((resolve) => child.stdout.once("data", resolve)));
  }

  /** The same of datagrams: each is answered with the address that it is seen by. */
  async serveDatagrams(port: number): Promise<void> {
    const [program, ...words] = [
      ...this.inside("server"),
      ...[process.execPath, "-e", TELLS_DATAGRAMS, String(port)],
    ];
    const child = spawn(program, words, { stdio: ["ignore", "pipe", "inherit"] });
    this.#children.push(child);
    await within("a server in its network", new Promise((resolve) => child.stdout.once("data", resolve)));
  }

  #of(side: Side): string {
    return `${this.#name}-${side}`;
  }

  #run(script: string): void {
    execFileSync("sh", ["-ec", script], { timeout: DEADLINE_MS, stdio: ["ignore", "ignore", "pipe"] });
  }

  readonly #remove = (): void => {
    for (const child of this.#children) child.kill("SIGKILL");
    for (const side of ["client", "middle", "server"] as const) {
      try {
        this.#run(`ip netns del ${this.#of(side)}`);
      } catch {
        // it was never made
      }
    }
  };

  [Symbol.dispose](): void {
    process.off("exit", this.#remove);
    this.#remove();
  }
}

/** Such a row, or why there is none. */
export function openNetworks(): Networks | string {
  if (process.getuid?.() !== 0) return "needs root, for networks of its own";
  try {
    return new Networks();
  } catch (error) {
    return `no networks of its own can be made here: ${(error as Error).message}`;
  }
}
