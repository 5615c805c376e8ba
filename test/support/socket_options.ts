// What the sockets of a process are made with, as the kernel says (socket_options.c). Takes root.
import { execFileSync } from "node:child_process";
import { ROOT } from "./executable.ts";
import { Folder } from "./folder.ts";

/** A socket of TCP or MPTCP: options as getsockopt(2) has them, -errno where it has none. */
export interface SocketOptions {
  readonly port: number;
  /** 0: it is not connected. */
  readonly peer: number;
  readonly listens: number;
  readonly protocol: number;
  readonly nodelay: number;
  readonly keep_alive: number;
  readonly idle: number;
  readonly interval: number;
  readonly count: number;
  readonly user_timeout: number;
  readonly sndbuf: number;
  readonly rcvbuf: number;
  readonly defer_accept: number;
  readonly fast_open: number;
  readonly transparent: number;
  readonly v6only: number;
  readonly device: string;
}

const folder = new Folder();
let program = "";

export function socketOptions(pid: number): SocketOptions[] {
  if (program === "") {
    const made = folder.at("socket_options");
    execFileSync("gcc", ["-O1", "-w", "-o", made, `${ROOT}test/support/socket_options.c`], {
      timeout: 60_000,
    });
    program = made;
  }
  const text = execFileSync(program, [String(pid)], { timeout: 10_000, encoding: "utf8" });
  return text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line) as SocketOptions);
}
