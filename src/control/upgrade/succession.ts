// An upgrade, from the side of the process that was started: what it gets from the one before it, and the order in which
// it takes over. Until it has said `ready` that one serves, and this one ends if anything fails; from then on it goes
// on, whatever becomes of the other.
import process from "node:process";
import { openLibrary, sys } from "../../sys/sys.ts";
import { addressText } from "../config/address.ts";
import { counted } from "../config/units.ts";
import type { Directory } from "../directory.ts";
import { Inherited, inheritedOf, type InheritedSocket } from "../inherited.ts";
import { ownPaths, type Socket } from "../listen_sockets.ts";
import type { Log } from "../log.ts";
import type { Reactors } from "../reactors.ts";
import { VERSION } from "../version.ts";
import { Channel, ChannelError, closeAll, type Message, type Received } from "./channel.ts";
import { FORMAT, FORMAT_OLDEST, Section } from "./format.ts";
import { jsonOf, readState } from "./memory.ts";
import { UPGRADE_VARIABLE } from "./program.ts";
import { adoptedSessions } from "./sessions.ts";
import { type ControlState, readControlState } from "./state.ts";

const STATE_DEADLINE_MS = 10_000;
/** For the other one to halt, and for a message to be taken. */
const SWITCH_DEADLINE_MS = 10_000;
/** For reactors to go on with sessions and watch. */
const WATCH_DEADLINE_MS = 4_000;
const RELEASE_DEADLINE_MS = 10_000;
/** Of lines that say why there is no start. */
const LINES_MAX = 12;
const LINE_CHARACTERS_MAX = 400;

/** What takes over. */
export interface Heir {
  readonly log: Log;
  readonly reactors: Reactors;
  readonly directory: Directory;
  readonly sockets: readonly Socket[];
  /** Listening sockets by the room that is to watch them. */
  readonly watched: ReadonlyMap<number, readonly number[]>;
  /** Takes what an operator said to the other one since it wrote its state. */
  readonly restore: (overrides: unknown) => void;
  /** Opens the admin API where the other one had it. @returns where it is, or null */
  readonly openAdmin: () => Promise<string | null>;
}

export class Succession {
  readonly state: ControlState;
  readonly #channel: Channel;
  /** Those of the listening sockets, in the order of the state. */
  readonly #fds: readonly number[];
  #inherited: Inherited | undefined;

  /**
   * Finds out whether this process was started to follow another one, and takes what it gets.
   * @returns undefined: it was not
   * @throws ChannelError
   */
  static async begin(library: () => string): Promise<Succession | undefined> {
    const named = process.env[UPGRADE_VARIABLE];
    if (named === undefined) return undefined;
    delete process.env[UPGRADE_VARIABLE];
    await openLibrary(library());
    const fd = /^[1-9][0-9]{0,5}$/.test(named) ? Number(named) : 0;
    const taken = fd > 2 ? sys.handover_take(fd) : -1;
    if (taken < 0) {
      throw new ChannelError(
        `${UPGRADE_VARIABLE} is set, and leads to no Sluice: upgrades alone set it; unset it`,
      );
    }
    const channel = new Channel(fd), untilMs = performance.now() + STATE_DEADLINE_MS;
    const about = { version: VERSION, pid: process.pid, oldest: FORMAT_OLDEST, newest: FORMAT };
    await channel.send({ kind: "hello", ...about }, untilMs);
    const { message, fds } = await channel.receive(untilMs);
    if (message.kind !== "state") throw new ChannelError(`the process before this one says ${message.kind}`);
    const state = readControlState(jsonOf(readState(fds[0]).get(Section.Control)));
    const sockets = await channel.receiveFds(message.sockets, untilMs);
    if (sockets.length !== state.sockets.length) {
      throw new ChannelError("the state tells of other listening sockets");
    }
    return new Succession(channel, state, sockets);
  }

  private constructor(channel: Channel, state: ControlState, fds: readonly number[]) {
    this.#channel = channel;
    this.state = state;
    this.#fds = fds;
  }

  /** The listening sockets, to be taken by listeners. The control plane's room is entered. @throws ChannelError */
  get inherited(): Inherited {
    return this.#inherited ??= new Inherited(this.#fds.map((fd, at): InheritedSocket => {
      const socket = inheritedOf(fd), { listener, bind, anyPort, isLent } = this.state.sockets[at];
      if (typeof socket === "string") throw new ChannelError(`the listening socket of ${bind} is ${socket}`);
      const { address } = socket;
      const asked = anyPort && address.kind === "ip" ? { ...address, port: 0 } : undefined;
      const set = [listener, bind, addressText(address)].join("\n");
      return { ...socket, asked, isLent, set };
    }));
  }

  /** Tells the other one why this one does not start. */
  async fail(lines: readonly string[]): Promise<void> {
    const told = lines.slice(0, LINES_MAX).map((line) => line.slice(0, LINE_CHARACTERS_MAX));
    try {
      await this.#channel.send({ kind: "failed", lines: told }, performance.now() + STATE_DEADLINE_MS);
    } catch {
      // it is gone, and learns of our end
    }
    this.#channel.close();
  }

  /** Everything is there and nothing is watched yet: takes over. @throws ChannelError: it did not, and must end */
  async takeOver(heir: Heir): Promise<void> {
    const { log, sockets } = heir, { version, pid } = this.state;
    const taken = await this.#takeSessions(heir);
    const left = this.inherited.left.map(({ fd }) => fd);
    if (left.length > 0) {
      const binds = left.map((fd) => this.state.sockets[this.#fds.indexOf(fd)].bind);
      log.warn("upgrade", `no listener has ${binds.join(", ")} any more: closed`);
      closeAll(left);
    }
    await this.#channel.send({ kind: "ready", sessions: taken.here }, performance.now() + SWITCH_DEADLINE_MS);
    const lost = Math.max(0, taken.came - taken.here);
    const gone = lost === 0 ? "" : `; ${counted(lost, "session")} found no listener, server or room here`;
    const sessions = taken.came === 0 ? "" : ` and ${counted(taken.here, "session")}`;
    log.info(
      "upgrade",
      `took over ${
        counted(this.#fds.length, "listening socket")
      }${sessions} from process ${pid}, version ${version}${gone}`,
      { pid, version, sessions: taken.here, lost },
    );
    await this.#released(log);
    ownPaths(sockets, true);
    const admin = await heir.openAdmin();
    try {
      await this.#channel.send({ kind: "complete", admin }, performance.now() + RELEASE_DEADLINE_MS);
    } catch {
      // it does not wait any more
    }
    this.#channel.close();
  }

  async #takeSessions(heir: Heir): Promise<{ came: number; here: number }> {
    const { reactors, directory, sockets, watched, restore } = heir;
    await this.#channel.send({ kind: "prepared" }, performance.now() + SWITCH_DEADLINE_MS);
    const untilMs = performance.now() + SWITCH_DEADLINE_MS;
    const { message, fds } = await this.#expectSwitch(untilMs);
    const sections = readState(fds[0]);
    const came = await this.#channel.receiveFds(message.sessions, untilMs);
    const byFd = new Map(sockets.map((socket) => [sys.listener_fd(socket.socket), socket]));
    const inUse = this.#fds.map((fd) => byFd.get(fd));
    const { byRoom, strays } = adoptedSessions(sections, came, inUse, directory);
    closeAll(strays);
    const { overrides } = jsonOf(sections.get(Section.Control));
    const isNew = JSON.stringify(overrides) !== JSON.stringify(this.state.overrides);
    if (overrides !== undefined && isNew) restore(overrides);
    if (!await reactors.takeOver(byRoom, watched, WATCH_DEADLINE_MS)) {
      throw new ChannelError("a reactor does not watch its sockets");
    }
    return { came: came.length, here: reactors.flows };
  }

  async #expectSwitch(
    untilMs: number,
  ): Promise<{ message: Extract<Message, { kind: "switch" }>; fds: readonly number[] }> {
    const { message, fds }: Received = await this.#channel.receive(untilMs);
    if (message.kind !== "switch") throw new ChannelError(`the process before this one says ${message.kind}`);
    return { message, fds };
  }

  /** The other one has let go, or is gone. */
  async #released(log: Log): Promise<void> {
    try {
      await this.#channel.receive(performance.now() + RELEASE_DEADLINE_MS);
    } catch (error) {
      log.warn("upgrade", `the process before this one: ${(error as Error).message}; going on without it`);
    }
  }
}
