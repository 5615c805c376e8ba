/** Where the figures come from: machine, versions, commands, date. Writes RESULTS.md. */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import { commandsUsed } from "./measure.ts";
import { fileLimit } from "./peers.ts";
import { root } from "./tools.ts";

/** The first line a command prints, on either stream, or why it printed none. */
function firstLine(command: string[]): string {
  const done = spawnSync(command[0], command.slice(1), {
    cwd: root,
    encoding: "utf8",
    timeout: 5_000,
  });
  const line = `${done.stdout ?? ""}${done.stderr ?? ""}`.trim().split("\n")[0];
  return line || `${command.join(" ")} printed nothing`;
}

function sources(): string {
  const git = ["git", "--no-optional-locks"];
  const commit = firstLine([...git, "rev-parse", "--short", "HEAD"]);
  const status = spawnSync("git", ["--no-optional-locks", "status", "--porcelain"], {
    cwd: root,
    encoding: "utf8",
    timeout: 5_000,
  });
  if (!/^[0-9a-f]{7,}$/.test(commit)) return "no commit";
  return status.stdout?.trim() ? `${commit}, with changes` : commit;
}

function machine(): string[] {
  const cores = cpus();
  const system = /^PRETTY_NAME="(.*)"/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1];
  return [
    `${cores.length} cores, ${cores[0]?.model}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    `${system}, Linux ${release()}, ${fileLimit} open files per process`,
  ];
}

function versions(): string[] {
  return [
    `Sluice ${sources()}`,
    `Bun ${process.versions.bun ?? "none"}`,
    firstLine(["haproxy", "-v"]),
    firstLine(["nginx", "-v"]),
    firstLine(["openssl", "version"]),
    firstLine(["wrk", "-v"]).replace(/ Copyright.*/, ""),
    firstLine(["iperf3", "--version"]),
    firstLine(["gcc", "--version"]),
  ];
}

/** The report around the table. `called` is how the bench was called. */
export function report(table: string, called: string, notes: string[]): string {
  const list = (lines: string[]) => lines.map((line) => `- ${line}`).join("\n");
  return [
    "# Results",
    `\`${called}\`, ${new Date().toISOString().slice(0, 16).replace("T", " ")} UTC. ` +
    "Medians (least - most) of interleaved rounds; what each line asks is in README.md.",
    table,
    ...(notes.length > 0 ? ["## Notes", list(notes)] : []),
    "## Machine",
    list(machine()),
    "## Versions",
    list(versions()),
    "## Commands",
    "PORT is the proxy's, ORIGIN the server's behind it; configurations are filled from peers/.",
    ["```", ...[...commandsUsed].sort(), "```"].join("\n"),
  ].join("\n\n") + "\n";
}

export function writeResults(text: string): void {
  writeFileSync(join(root, "bench/RESULTS.md"), text);
}
