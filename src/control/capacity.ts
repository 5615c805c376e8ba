// What the limit on file descriptors allows. A proxied connection takes two, a pipe two more; some are
// the process's own. Tables are sized by this at start: nothing is allocated when the limit is reached.
import { PIPES_MAX, PROBES_IN_FLIGHT_MAX } from "../base/limits.ts";

export interface Capacity {
  /** Client connections at once. */
  readonly connections: number;
  /** Pipes of each reactor. */
  readonly pipes: number;
}

/** The runtime's files, epoll sets, eventfds, logs, the admin API's connections. */
const FDS_OF_THE_PROCESS = 160;
const FDS_PER_REACTOR = 8;
/** At most one fd in this many goes to pipes. */
const PIPE_SHARE = 8;

/**
 * @param fds what the process may have (RLIMIT_NOFILE)
 * @returns how many connections fit; `connections` is 0 or less when the limit is too low to work
 */
export function capacityOf(
  fds: number,
  asked: { connections: number; reactors: number; listeners: number; servers: number },
): Capacity {
  const { connections, reactors, listeners, servers } = asked;
  const pipes = Math.max(1, Math.min(PIPES_MAX - 1, Math.floor(fds / PIPE_SHARE / 2 / reactors)));
  const reserved = FDS_OF_THE_PROCESS + reactors * (FDS_PER_REACTOR + 2 * pipes) + listeners +
    Math.min(servers, PROBES_IN_FLIGHT_MAX);
  return { connections: Math.min(connections, Math.floor((fds - reserved) / 2)), pipes };
}

/** The fewest fds with which `capacityOf` gives all the connections that are asked for. */
export function fdsFor(asked: Parameters<typeof capacityOf>[1]): number {
  const enough = (fds: number) => capacityOf(fds, asked).connections >= asked.connections;
  let least = 0, most = 1_024;
  while (!enough(most)) {
    least = most;
    most *= 2;
  }
  while (most - least > 1) {
    const middle = Math.floor((least + most) / 2);
    if (enough(middle)) most = middle;
    else least = middle;
  }
  return most;
}
