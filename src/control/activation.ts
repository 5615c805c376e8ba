// Socket activation: a service manager opens listening sockets before it starts us, and says so in the environment, as
// sd_listen_fds(3) has it. So a port below 1024 needs no right of ours, and whoever connects while nobody runs waits.
import { LISTENERS_MAX } from "../base/limits.ts";
import { sys } from "../sys/sys.ts";
import { addressText } from "./config/address.ts";
import { quoted, shown } from "./config/errors.ts";
import { counted } from "./config/units.ts";
import { inheritedOf, type InheritedSocket } from "./inherited.ts";

/** SD_LISTEN_FDS_START. */
const FIRST_FD = 3;
const VARIABLES = ["LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES"];

type Environment = Record<string, string | undefined>;
type Warn = (line: string) => void;

/** How many fds the environment speaks of, for the process `pid`; their names, as far as they have any. What is meant
 * for another process is left alone. */
export function fdsGiven(env: Environment, pid: number, warn: Warn): { count: number; names: string[] } {
  const { LISTEN_PID: whose, LISTEN_FDS: count = "" } = env, none = { count: 0, names: [] };
  if (whose !== String(pid)) return none;
  if (!/^[0-9]{1,9}$/.test(count)) {
    warn(`LISTEN_FDS=${shown(count)} is no number of sockets; what is listened on is opened here`);
    return none;
  }
  if (Number(count) > LISTENERS_MAX) {
    warn(`LISTEN_FDS=${count}: only the first ${LISTENERS_MAX} sockets are looked at; give fewer`);
  }
  return { count: Math.min(Number(count), LISTENERS_MAX), names: (env.LISTEN_FDNAMES ?? "").split(":") };
}

/**
 * The sockets that a service manager has opened for us, in its order, by the variables of `env`, which go: who is
 * started from here has nothing to do with them. An fd that is no listening socket is told, and left open. In the
 * control plane's room.
 */
export function activated(env: Environment, pid: number, warn: Warn): InheritedSocket[] {
  const { count, names } = fdsGiven(env, pid, warn), sockets: InheritedSocket[] = [];
  for (const variable of VARIABLES) delete env[variable];
  for (let index = 0; index < count; index++) {
    const fd = FIRST_FD + index, name = names[index] ?? "", socket = inheritedOf(fd);
    if (typeof socket !== "string") sockets.push({ ...socket, isLent: true, name });
    else warn(`${fdText(fd, name)} is not used: it is ${socket}`);
  }
  return sockets;
}

/** Closes what no listener has taken, and says where it was. */
export function closeUnwanted(sockets: readonly InheritedSocket[], warn: Warn): void {
  for (const { fd, name = "", address, datagrams } of sockets) {
    const scheme = address.kind === "unix" ? "" : datagrams ? "udp://" : "tcp://";
    const bind = `${scheme}${addressText(address)}`;
    warn(
      `${fdText(fd, name)} is not used and closed: no listener has ${shown(bind)}; ` +
        "write that as the bind of one, or take it out of the socket unit",
    );
    sys.inherited_close(fd);
  }
}

function fdText(fd: number, name: string): string {
  return `the service manager's socket ${fd}${name === "" ? "" : ` (${quoted(name)})`}`;
}

/** What there is of it, in words, without touching it; for who looks at the surroundings. */
export function activationText(env: Environment, pid: number): string | undefined {
  const { LISTEN_PID: whose, LISTEN_FDS: count } = env;
  if (count === undefined) return undefined;
  if (whose !== String(pid)) return `LISTEN_FDS is for process ${shown(whose ?? "?")}, not for this one`;
  return `${counted(fdsGiven(env, pid, () => {}).count, "socket")} by socket activation`;
}
