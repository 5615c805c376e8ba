// The examples of docs/service.md: a unit with everything that it promises and nothing that keeps Sluice from working,
// as systemd itself reads it where it is there; a container file with a C library that the executable can use.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { parseRun } from "../../src/control/config/run.ts";
import { Folder } from "../support/folder.ts";

const at = (name: string) => fileURLToPath(new URL(`../../examples/${name}`, import.meta.url));
const read = (name: string) => readFileSync(at(name), "utf8");

/** Directives of a unit, by section; one that stands several times has all its values. */
function unit(name: string): Map<string, Map<string, string[]>> {
  const sections = new Map<string, Map<string, string[]>>();
  let section = new Map<string, string[]>();
  for (const line of read(name).split("\n")) {
    const head = /^\[(\w+)\]$/.exec(line)?.[1], [, key, value] = /^(\w+)=(.*)$/.exec(line) ?? [];
    if (head !== undefined) sections.set(head, section = new Map());
    else if (key !== undefined) section.set(key, [...section.get(key) ?? [], value]);
    else ok(line === "" || line.startsWith("#"), line);
  }
  return sections;
}

describe("sluice.service", () => {
  const service = unit("systemd/sluice.service").get("Service")!;
  const has = (key: string) => service.get(key)?.join(" ");

  it("is told when Sluice is ready, and whether it is alive", () => {
    equal(has("Type"), "notify");
    equal(has("NotifyAccess"), "main");
    match(has("WatchdogSec")!, /^[1-9]/);
    match(has("ExecReload")!, / reload /);
    equal(has("KillMode"), "mixed");
  });

  it("is nobody's root, with one right of root's", () => {
    equal(has("User"), "sluice");
    for (const key of ["AmbientCapabilities", "CapabilityBoundingSet"]) {
      equal(has(key), "CAP_NET_BIND_SERVICE");
    }
    equal(has("NoNewPrivileges"), "yes");
  });

  it("is closed as far as a proxy can be", () => {
    const yes = [
      "ProtectHome",
      "PrivateTmp",
      "PrivateDevices",
      "ProtectClock",
      "ProtectHostname",
      "ProtectKernelLogs",
      "ProtectKernelModules",
      "ProtectKernelTunables",
      "ProtectControlGroups",
      "RestrictNamespaces",
      "RestrictRealtime",
      "RestrictSUIDSGID",
      "LockPersonality",
      "RemoveIPC",
    ];
    deepEqual(yes.filter((key) => has(key) !== "yes"), []);
    equal(has("ProtectSystem"), "strict");
    equal(has("SystemCallFilter"), "@system-service");
    ok(Number(has("LimitNOFILE")) >= 100_000);
  });

  it("has nothing that keeps the engine from compiling, or that user from low ports", () => {
    for (
      const key of ["MemoryDenyWriteExecute", "PrivateUsers", "PrivateNetwork", "NoExecPaths", "ProcSubset"]
    ) {
      equal(has(key), undefined, key);
    }
  });
});

describe("sluice.socket", () => {
  it("opens what http://:80 and https://:443 are bound to", () => {
    const socket = unit("systemd/sluice.socket").get("Socket")!;
    deepEqual(socket.get("ListenStream"), ["80", "443"]);
    deepEqual(socket.get("BindIPv6Only"), ["both"]);
    equal(socket.get("Accept"), undefined);
  });
});

describe("systemd", {
  skip: spawnSync("systemd-analyze", ["--version"]).status === 0 ? false : "is not here",
}, () => {
  const folder = new Folder();
  copyFileSync(at("systemd/sluice.socket"), folder.at("sluice.socket"));
  // The program need not be installed for its unit to be good.
  writeFileSync(
    folder.at("sluice.service"),
    read("systemd/sluice.service").replaceAll("/usr/local/bin/sluice", "/bin/true"),
  );

  it("understands both units", () => {
    const words = ["verify", folder.at("sluice.service"), folder.at("sluice.socket")];
    const { status, stderr } = spawnSync("systemd-analyze", words, { encoding: "utf8", timeout: 30_000 });
    equal(stderr, "");
    equal(status, 0);
  });

  it("finds little to fear", () => {
    const words = ["security", "--offline=true", folder.at("sluice.service")];
    const said = execFileSync("systemd-analyze", words, { encoding: "utf8", timeout: 30_000 });
    const exposure = Number(/exposure level[^:]*: ([0-9.]+)/.exec(said)?.[1]);
    ok(exposure <= 2, said);
  });
});

describe("the container file", () => {
  const lines = read("container/Dockerfile").split("\n").filter((line) => !line.startsWith("#"));
  const of = (word: string) =>
    lines.filter((line) => line.startsWith(`${word} `)).map((line) => line.slice(word.length + 1));

  it("has a base with glibc, and a user", () => {
    const [base, ...more] = of("FROM");
    deepEqual(more, []);
    match(base, /^debian:/);
    deepEqual(of("USER"), ["10001"]);
  });

  it("runs Sluice as process 1, which hears SIGTERM", () => {
    deepEqual(JSON.parse(of("ENTRYPOINT")[0]), ["/usr/local/bin/sluice"]);
    deepEqual(JSON.parse(of("CMD")[0]), ["run", "-c", "/etc/sluice/sluice.yaml"]);
    deepEqual(of("STOPSIGNAL"), ["SIGTERM"]);
  });

  it("has a configuration that is good for that user", () => {
    const parsed = parseRun(["run", "-c", at("container/sluice.yaml")], { env: {}, uid: 10_001 });
    if ("problems" in parsed) throw new Error(JSON.stringify(parsed.problems));
    deepEqual(parsed.warnings, []);
    const ports = Object.values(parsed.config.listeners).flatMap(({ bind }) =>
      bind.map(({ address }) => address.kind === "unix" ? 0 : address.port)
    );
    deepEqual(ports.map(String), of("EXPOSE"));
    ok(ports.every((port) => port >= 1_024));
  });
});
