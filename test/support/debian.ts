// Programs that tests run against and that Debian has. Installed when they are missing and we may; apt waits
// for another apt, so that test processes beside each other may all ask.
import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { join } from "node:path";

const INSTALL_DEADLINE_MS = 240_000;

/** @throws with the command to run if the program is not there and cannot be installed */
export function needProgram(program: string, debianPackage: string): void {
  if (isThere(program)) return;
  const install = ["install", "-y", "--no-install-recommends", debianPackage];
  if (process.getuid?.() !== 0) {
    throw new Error(`${program} is missing; run: sudo apt-get ${install.join(" ")}`);
  }
  if (apt(install) || (apt(["update"]) && apt(install))) return;
  throw new Error(`apt-get ${install.join(" ")} failed`);
}

function isThere(program: string): boolean {
  return (process.env.PATH ?? "").split(":").some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function apt(words: readonly string[]): boolean {
  const { status } = spawnSync("apt-get", ["-q", "-o", "DPkg::Lock::Timeout=200", ...words], {
    stdio: ["ignore", "ignore", "inherit"],
    timeout: INSTALL_DEADLINE_MS,
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
  });
  return status === 0;
}
