// Sluice with other files in the place of those in /etc, seen by it alone: names of its own, and its own name
// server. Takes root.
import { command } from "./executable.ts";

/** By their names in /etc, where the files are. */
export function withFiles(files: Readonly<Record<string, string>>): { command: string[] } {
  const mounts = Object.entries(files).map(([etc, path]) => `mount --bind '${path}' /etc/${etc} && `).join(
    "",
  );
  return { command: ["unshare", "-m", "sh", "-c", `${mounts}exec "$0" "$@"`, ...command("executable")] };
}
