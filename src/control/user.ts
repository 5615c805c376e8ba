// The user that Sluice becomes. Started as root it opens its sockets and reads its keys, and then is nobody special for
// the rest of its life: of root's rights it keeps that to bind ports below 1024, for what a reload or an upgrade opens.
// Users and groups are those of /etc/passwd and /etc/group.
import { lchownSync, lstatSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { EINVAL, EPERM, errnoName } from "../sys/errno.ts";
import { sys } from "../sys/sys.ts";
import { RUN_DIRECTORY } from "./config/check.ts";
import { quoted, shown } from "./config/errors.ts";
import type { Finding, Path } from "./config/finding.ts";
import type { Config } from "./config/schema.ts";
import type { Owner } from "./config/socket_values.ts";
import { counted } from "./config/units.ts";

/** Of capabilities(7). */
const CAP_NET_BIND_SERVICE = 10;
const CAP_NET_RAW = 13;
/** Files that are told by name. */
const TOLD_MAX = 3;
/** What is given away of a directory, at most so deep. */
const DEPTH_MAX = 8;

export interface Identity {
  readonly uid: number;
  readonly gid: number;
  /** All its groups, `gid` among them. */
  readonly groups: readonly number[];
  /** As people know it: a name, or a number without one. */
  readonly name: string;
}

/** It cannot become that user: one line with the remedy. */
export class UserError extends Error {
  override name = "UserError";
}

/** Lines of /etc/passwd and /etc/group, in fields. */
function linesOf(file: string): string[][] {
  try {
    return readFileSync(file, "utf8").split("\n").map((line) => line.split(":"));
  } catch {
    return []; // nobody is known then
  }
}

export interface Known {
  readonly users: readonly (readonly string[])[];
  readonly groups: readonly (readonly string[])[];
}

function known(): Known {
  return { users: linesOf("/etc/passwd"), groups: linesOf("/etc/group") };
}

/** Who `user` and `group` are; undefined: nobody is asked for. */
export function identityOf(
  { user, group }: Pick<Config, "user" | "group">,
  { users, groups }: Known = known(),
): Identity | Finding | undefined {
  if (user === undefined) {
    return group === undefined ? undefined : error(["group"], "no user for this group", "write user as well");
  }
  const line = users.find(([name, , uid]) => "id" in user ? uid === String(user.id) : name === user.name);
  if (line === undefined && "name" in user) {
    const remedy = `make one (useradd --system ${user.name}), or write another`;
    return error(["user"], `${quoted(user.name)} is no user of this machine`, remedy);
  }
  const uid = "id" in user ? user.id : Number(line![2]), name = line?.[0] ?? String(uid);
  const gid = group === undefined ? line?.[3] : idIn(groups, group);
  if (gid === undefined && group !== undefined) {
    const remedy = "/etc/group has those it knows; or write a number";
    return error(
      ["group"],
      `${quoted("name" in group ? group.name : "")} is no group of this machine`,
      remedy,
    );
  }
  if (gid === undefined) {
    return error(["user"], `user ${uid} has no group in /etc/passwd`, "write group as well");
  }
  const further = groups.filter(([, , , members = ""]) =>
    line !== undefined && members.split(",").includes(name)
  );
  const all = new Set([Number(gid), ...further.map(([, , gid]) => Number(gid))]);
  return { uid, gid: Number(gid), groups: [...all], name };
}

function idIn(lines: Known["groups"], owner: Owner): string | undefined {
  return "id" in owner ? String(owner.id) : lines.find(([name]) => name === owner.name)?.[2];
}

function error(path: Path, what: string, remedy: string): Finding {
  return { path, what, remedy, severity: "error" };
}

/** Whether the user that is asked for can be had by one who is `uid`; and, for root, what that user will not be able to
 * open again: `files` are those that the configuration was read from, and names. */
export function userFindings(config: Config, uid: number, files: Iterable<string> = []): Finding[] {
  const wanted = identityOf(config);
  if (wanted === undefined) return [];
  if ("what" in wanted) return [wanted];
  if (uid === 0) return wanted.uid === 0 ? [] : lostTo(wanted, config, files);
  if (wanted.uid === uid) return [];
  const present = known().users.find(([, , id]) => id === String(uid))?.[0] ?? String(uid);
  const what = `user ${quoted(present)} cannot become ${quoted(wanted.name)}`;
  return [
    error(["user"], what, `start as root, start as ${wanted.name} (systemd: User=), or leave user out`),
  ];
}

function lostTo(who: Identity, config: Config, files: Iterable<string>): Finding[] {
  const findings: Finding[] = [], lost = [...new Set(files)].filter((file) => !mayOpen(file, who, false));
  if (lost.length > 0) {
    const names = lost.slice(0, TOLD_MAX).map((file) => shown(file)).join(", ");
    const more = lost.length > TOLD_MAX ? ` and ${counted(lost.length - TOLD_MAX, "other file")}` : "";
    findings.push({
      path: ["user"],
      what: `${quoted(who.name)} cannot read ${names}${more}: what changes there later is not seen`,
      remedy: `let it (chgrp and chmod g+r, or setfacl -m u:${who.name}:r)`,
      severity: "warning",
    });
  }
  const { to } = config.log.access;
  if (to.kind === "file" && !isRootsOwn(to.path) && !mayOpen(to.path, who, true)) {
    findings.push({
      path: ["log", "access", "to"],
      what: `${quoted(who.name)} cannot open it again: after a rotation lines go on into the old file`,
      remedy: `have it made for that user (logrotate: create 0640 ${who.name})`,
      severity: "warning",
    });
  }
  return findings;
}

function mayOpen(path: string, { uid, gid, groups }: Identity, write: boolean): boolean {
  const name = new TextEncoder().encode(path + "\0"), all = Uint32Array.from(groups);
  return sys.may_open(name, write ? 1 : 0, uid, gid, new Uint8Array(all.buffer), all.length) === 0;
}

/**
 * Becomes the user of the configuration, if it has one and we are root: for good, in all threads. Before that, what the
 * user needs is given to it, where nobody but root can have had a hand in it: the socket of the admin API (`admin`, as
 * `Admin.where` has it), what ACME keeps, the access log.
 * @returns what to tell; undefined: nothing is changed
 * @throws UserError
 */
export function becomeUser(config: Config, admin: string | undefined): string | undefined {
  const who = identityOf(config);
  if (who === undefined || process.getuid?.() !== 0) return undefined;
  if ("what" in who) throw new UserError(`${who.path.join(".")}: ${who.what}; ${who.remedy}`);
  if (who.uid === 0 && who.gid === 0) return undefined;
  if (admin?.startsWith("unix:")) giveSocket(admin.slice("unix:".length), who);
  for (const { tls } of Object.values(config.listeners)) {
    if (tls?.acme !== undefined && tls.acme.storage !== "") giveTree(tls.acme.storage, who, DEPTH_MAX);
  }
  const { to } = config.log.access;
  if (to.kind === "file" && isRootsOwn(to.path)) lchownSync(to.path, who.uid, who.gid);
  const groups = Uint32Array.from(who.groups), asked = neededBy(config);
  const kept = sys.become(who.uid, who.gid, new Uint8Array(groups.buffer), groups.length, asked);
  if (kept < 0) throw new UserError(`user: cannot become ${quoted(who.name)}: ${whyNot(-kept)}`);
  const missing = kept === asked ? "" : ", without the right to ports below 1024, which it did not have";
  return `is user ${quoted(who.name)} from here on${missing}`;
}

/** The directory of the default admin socket, where a user is to be able to make another one. As root. */
export function prepareRunDirectory(config: Config): void {
  const who = identityOf(config), { admin } = config;
  if (who === undefined || "what" in who || process.getuid?.() !== 0) return;
  if (admin.kind !== "unix" || !admin.byDefault || dirname(admin.address.path) !== RUN_DIRECTORY) return;
  try {
    mkdirSync(RUN_DIRECTORY, { recursive: true, mode: 0o755 });
    if (lstatSync(RUN_DIRECTORY).isDirectory()) lchownSync(RUN_DIRECTORY, who.uid, who.gid);
  } catch {
    // whoever opens the socket says what is wrong there
  }
}

/** Ports below 1024 always; and sockets with another's address, or bound to an interface, where they are asked for. */
function neededBy({ listeners, upstreams }: Config): number {
  const raw =
    Object.values(listeners).some(({ socket }) => socket.transparent || socket.interface !== undefined) ||
    Object.values(upstreams).some(({ socket, source }) =>
      source === "client" || socket.interface !== undefined
    );
  return 1 << CAP_NET_BIND_SERVICE | (raw ? 1 << CAP_NET_RAW : 0);
}

/** Whether a file, or a directory, is root's, in a directory where nobody else can have put it. */
function isRootsOwn(path: string): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  const directory = lstatSync(dirname(resolve(path)), { throwIfNoEntry: false });
  if (found === undefined || directory === undefined) return false;
  const isPlain = found.isDirectory() || (found.isFile() && found.nlink === 1);
  return isPlain && found.uid === 0 && directory.uid === 0 && (directory.mode & 0o022) === 0;
}

function giveSocket(path: string, { uid, gid }: Identity): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket()) lchownSync(path, uid, gid);
}

/** From the inside out: the directory is root's until all that is in it is given. */
function giveTree(path: string, who: Identity, depth: number): void {
  if (depth === 0 || !isRootsOwn(path)) return;
  if (lstatSync(path).isDirectory()) {
    for (const name of readdirSync(path)) giveTree(join(path, name), who, depth - 1);
  }
  lchownSync(path, who.uid, who.gid);
}

function whyNot(errno: number): string {
  switch (errno) {
    case EPERM:
      return "this root may not (a container without CAP_SETUID and CAP_SETGID); start as that user";
    case EINVAL:
      return "this user namespace has no such number; choose another user";
    default:
      return errnoName(errno);
  }
}
