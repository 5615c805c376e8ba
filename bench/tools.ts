/**
 * What the bench needs from elsewhere: Debian packages, and its own C tools, built on each run.
 */
import { execFileSync } from "node:child_process";
import { accessSync, constants, existsSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
export const buildFolder = join(root, "bench/.build");
export const streamModule = "/usr/lib/nginx/modules/ngx_stream_module.so";

// Daemons live in sbin, which is not on every user's path.
process.env.PATH = `${process.env.PATH}:/usr/sbin:/sbin`;

/** What must be there, and the Debian package that brings it. */
const NEEDED: [what: string, debianPackage: string][] = [
  ["gcc", "gcc"],
  ["/usr/include/stdlib.h", "libc6-dev"],
  ["/usr/include/openssl/ssl.h", "libssl-dev"],
  ["openssl", "openssl"],
  ["wrk", "wrk"],
  ["iperf3", "iperf3"],
  ["haproxy", "haproxy"],
  ["nginx", "nginx-light"],
  [streamModule, "libnginx-mod-stream"],
  ["taskset", "util-linux"],
  ["prlimit", "util-linux"],
  ["setpriv", "util-linux"],
];

function isThere(what: string): boolean {
  if (what.startsWith("/")) return existsSync(what);
  return process.env.PATH!.split(":").some((folder) => {
    try {
      accessSync(join(folder, what), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Installs missing packages when we are root; otherwise says which command does. */
export function needPackages(): void {
  const missing = [...new Set(NEEDED.filter(([what]) => !isThere(what)).map(([, name]) => name))];
  if (missing.length === 0) return;
  const install = ["install", "-y", "--no-install-recommends", ...missing];
  if (process.getuid?.() !== 0) {
    throw new Error(`missing packages; run: sudo apt-get ${install.join(" ")}`);
  }
  console.error(`installing ${missing.join(" ")}`);
  const options = { stdio: ["ignore", "ignore", "inherit"] as const, timeout: 300_000 };
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  execFileSync("apt-get", ["update"], { ...options, stdio: [...options.stdio], env });
  execFileSync("apt-get", install, { ...options, stdio: [...options.stdio], env });
}

const TLS = ["-lssl", "-lcrypto"];

/** Our C tools, and the libraries each is linked with. */
const TOOLS = {
  origin: [],
  openloop: [],
  churn: [],
  idle: TLS,
  transfer: TLS,
  handshake: TLS,
  sink: [],
  echo: [],
  chatter: [],
  datagrams: [],
  flood: [],
};

/** Path of one of our C tools, from the root. */
export function tool(name: keyof typeof TOOLS): string {
  return `bench/.build/${name}`;
}

export function buildTools(): void {
  mkdirSync(buildFolder, { recursive: true });
  for (const [name, libraries] of Object.entries(TOOLS)) {
    const flags = ["-O2", "-Wall", "-Wextra", "-Werror"];
    execFileSync("gcc", [...flags, "-o", `bench/.build/${name}`, `bench/${name}.c`, ...libraries], {
      cwd: root,
      stdio: "inherit",
      timeout: 60_000,
    });
  }
}
