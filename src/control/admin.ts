// Where the admin API listens, and what keeps it from hurting: limits on size, time and number of what
// clients may hold, and who may open it. What it answers is in admin_app.ts. It shares the main thread
// with the rest of the control plane; traffic does not pass here.
import { chmodSync, lstatSync, renameSync, unlinkSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { connect, type Socket } from "node:net";
import process from "node:process";
import { createAdaptorServer } from "@hono/node-server";
import { adminApp } from "./admin_app.ts";
import { addressText, type IpAddress, isLoopback } from "./config/address.ts";
import { shown } from "./config/errors.ts";
import type { Admin as AdminAddress } from "./config/schema.ts";
import type { Sight } from "./sight.ts";

/** Connections at once; for one more the oldest gives way that has not said what it wants, else the oldest. */
const CONNECTIONS_MAX = 64;
const HEADER_BYTES_MAX = 8_192;
const UNIX_PATH_BYTES_MAX = 107;
/** A request's head, and the whole request, must be there by then. */
const HEADERS_TIMEOUT_MS = 5_000;
const REQUEST_TIMEOUT_MS = 10_000;
/** How often the runtime looks for requests that take too long. */
const CHECK_EVERY_MS = 500;
/** An answer that is not there by then (a reload, an upgrade), or that the client does not take, is given up. */
const ANSWER_TIMEOUT_MS = 60_000;
/** For answers that are under way when the address is another process's already. */
const RELEASED_MS = 2_000;
/** For the process before this one to let go of the address. */
const TAKE_OVER_MS = 3_000;
const LOOK_MS = 10;
/** For the process behind an existing socket file to answer. */
const ALIVE_TIMEOUT_MS = 1_000;

export interface AdminOptions {
  readonly admin: AdminAddress;
  /** Asked of clients, as it is now; undefined for none. */
  readonly token: () => string | undefined;
  readonly sight: Sight;
  /** Another process has the address and lets it go, for this one to open it: the port that it has there, or 0. */
  readonly takesOver?: number;
}

/** The admin address could not be opened: one line with the remedy. */
export class AdminError extends Error {
  override name = "AdminError";
}

export class Admin {
  /** Where it listens: `http://127.0.0.1:9900`, `unix:/run/sluice.sock`. */
  readonly where: string;
  readonly #server: Server;
  /** The socket file and its inode: one that another process has put in its place is not ours. */
  readonly #file: { readonly path: string; readonly inode: number } | undefined;
  readonly #sockets: ReadonlySet<Socket>;
  #released = false;

  /**
   * Opens the API.
   * @returns undefined when it is off, or when a default one cannot be opened, which is a warning
   * @throws AdminError when one that was asked for cannot be opened
   */
  static async open(options: AdminOptions): Promise<Admin | undefined> {
    const { admin, sight } = options;
    if (admin.kind === "off") return undefined;
    try {
      return await open(options, admin);
    } catch (error) {
      if (!(error instanceof AdminError) || !admin.byDefault) throw error;
      sight.log.warn("admin", `no admin API: ${error.message}; give another address with --admin, or off`);
      return undefined;
    }
  }

  constructor(
    where: string,
    server: Server,
    sockets: ReadonlySet<Socket>,
    file: { readonly path: string; readonly inode: number } | undefined,
  ) {
    this.where = where;
    this.#server = server;
    this.#sockets = sockets;
    this.#file = file;
  }

  /** 0: it is no port. */
  get port(): number {
    return Number(/^http:.*:([0-9]+)$/.exec(this.where)?.[1] ?? 0);
  }

  /** Takes no new connections: the address is another process's. Open requests are answered. */
  release(): void {
    if (!this.#released) this.#server.close();
    this.#released = true;
  }

  /** Ends: open requests get a moment for their answer if the address was released, and none otherwise; takes its socket
   * file away. */
  async close(): Promise<void> {
    const untilMs = performance.now() + (this.#released ? RELEASED_MS : 0);
    while (this.#sockets.size > 0 && performance.now() < untilMs) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
    this.release();
    for (const socket of this.#sockets) socket.destroy();
    if (this.#file !== undefined && inodeOf(this.#file.path) === this.#file.inode) remove(this.#file.path);
  }
}

async function open(
  { token, sight, takesOver }: AdminOptions,
  admin: Exclude<AdminAddress, { kind: "off" }>,
): Promise<Admin> {
  const checkHost = admin.kind === "http" && isLoopback(admin.address);
  const server = createAdaptorServer({
    fetch: adminApp({ sight, token, checkHost }).fetch,
    overrideGlobalObjects: false,
    createServer,
    serverOptions: {
      maxHeaderSize: HEADER_BYTES_MAX,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: HEADERS_TIMEOUT_MS,
      connectionsCheckingInterval: CHECK_EVERY_MS,
    },
  }) as Server;
  const sockets = bound(server);
  if (admin.kind === "unix") {
    const { path } = admin.address, aside = asideOf(path);
    if (takesOver === undefined) await replaceStale(path);
    else if (aside === path) remove(path);
    const umask = process.umask(0o177);
    try {
      await listen(server, { path: aside }, `unix:${path}`);
    } finally {
      process.umask(umask);
    }
    chmodSync(aside, 0o600);
    // Nobody finds the path without a socket, and whatever takes its name away at the end takes ours alone.
    if (aside !== path) renameSync(aside, path);
    return new Admin(`unix:${path}`, server, sockets, { path, inode: inodeOf(path) });
  }
  const { ip, scope } = admin.address, name = `http://${addressText(admin.address)}`;
  const port = admin.address.port === 0 ? takesOver ?? 0 : admin.address.port;
  const where = { host: scope === "" ? ip : `${ip}%${scope}`, port };
  for (const untilMs = performance.now() + (takesOver === undefined ? 0 : TAKE_OVER_MS);;) {
    try {
      await listen(server, where, name);
      break;
    } catch (error) {
      if (performance.now() >= untilMs) throw error;
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
  }
  const chosen = (server.address() as { port: number }).port;
  return new Admin(
    `http://${addressText({ ...admin.address, port: chosen } as IpAddress)}`,
    server,
    sockets,
    undefined,
  );
}

/** Keeps the connections of a server to their number and time; returns those that are open. Whoever opens many and
 * says nothing loses them, and an operator, who says at once what he wants, finds room. */
function bound(server: Server): ReadonlySet<Socket> {
  const sockets = new Set<Socket>(), asking = new WeakSet<Socket>();
  const giveWay = (): void => {
    const silent = [...sockets].find((socket) => !asking.has(socket));
    const [oldest] = sockets, socket = silent ?? oldest;
    sockets.delete(socket);
    socket.destroy();
  };
  server.on("request", ({ socket }: IncomingMessage) => asking.add(socket));
  server.on("connection", (socket: Socket) => {
    if (sockets.size >= CONNECTIONS_MAX) giveWay();
    sockets.add(socket);
    const timer = setTimeout(() => socket.destroy(), REQUEST_TIMEOUT_MS + ANSWER_TIMEOUT_MS);
    socket.on("error", () => {}); // of that client alone
    socket.on("close", () => {
      clearTimeout(timer);
      sockets.delete(socket);
    });
  });
  return sockets;
}

function listen(
  server: Server,
  where: { path: string } | { host: string; port: number },
  name: string,
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: Error & { code?: string }) => {
      reject(
        new AdminError(
          `cannot open the admin address ${shown(name)}: ${listenProblem(error.code ?? error.message)}`,
        ),
      );
    });
    server.listen(where, () => {
      // Later errors are of an accept (no fds left): the next one may go well, and nobody else is hurt.
      server.on("error", () => {});
      resolve();
    });
  });
}

function listenProblem(code: string): string {
  switch (code) {
    case "EADDRINUSE":
      return "it is in use already; choose another address, or stop what listens there (ss -lnp shows it)";
    case "EACCES":
    case "EPERM":
      return "permission denied; choose a path or port that this user may use";
    case "EADDRNOTAVAIL":
      return "this machine has no such address; `ip addr` lists those it has";
    case "ENOENT":
      return "its directory does not exist; create it first";
    default:
      return code;
  }
}

/** Takes away the socket file of a process that is gone. @throws AdminError when it is none, or in use */
async function replaceStale(path: string): Promise<void> {
  let isSocket: boolean;
  try {
    isSocket = lstatSync(path).isSocket();
  } catch {
    return; // nothing there, or nothing to be seen: listening will tell
  }
  const cannot = `cannot open the admin address unix:${shown(path)}: `;
  if (!isSocket) throw new AdminError(`${cannot}there is a file that is no socket; choose another path`);
  if (await isAlive(path)) {
    throw new AdminError(`${cannot}another process listens there; choose another path, or stop that process`);
  }
  remove(path);
}

/** Whether somebody accepts connections there. In doubt (no permission, no answer) somebody does. */
function isAlive(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    const end = (alive: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(alive);
    };
    const timer = setTimeout(() => end(true), ALIVE_TIMEOUT_MS);
    socket.once("connect", () => end(true));
    socket.once(
      "error",
      (error: Error & { code?: string }) => end(error.code !== "ECONNREFUSED" && error.code !== "ENOENT"),
    );
  });
}

/** A name beside `path` that nobody has, for a socket to be made under; the path itself where that is too long
 * (sun_path, unix(7)). */
function asideOf(path: string): string {
  const aside = `${path}.${process.pid}`;
  return Buffer.byteLength(aside) <= UNIX_PATH_BYTES_MAX ? aside : path;
}

function inodeOf(path: string): number {
  try {
    return lstatSync(path).ino;
  } catch {
    return 0;
  }
}

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Gone already, or not ours to remove: whoever listens there next will see.
  }
}
