// `sluice drain NAME`: a server of the running process gets nothing new; --undo: it does again.
import { askJson, LiveError } from "../admin_client.ts";
import { shown } from "../config/errors.ts";
import { counted } from "../config/units.ts";
import type { VerbArguments } from "../config/verbs.ts";
import type { DrainAnswer } from "../drains.ts";
import { doorOf } from "./door.ts";
import { refused, type Said, said, saidNo } from "./said.ts";

/** Status 0: it is so now; 1: the running process cannot be asked; 2: a mistake. */
export async function drain({ values, rest }: VerbArguments): Promise<Said> {
  const [server, more] = rest;
  if (server === undefined) {
    return saidNo({
      where: "drain",
      what: "no server",
      remedy: "write its address; sluice servers lists them",
    });
  }
  if (more !== undefined) {
    return saidNo({ where: shown(more), what: "a second server", remedy: "drain one at a time" });
  }
  const door = doorOf(values);
  if ("problems" in door) return refused(door.problems);
  const [upstream] = values.get("--upstream") ?? [], undo = values.has("--undo");
  try {
    const isAnswer = ({ servers }: Partial<DrainAnswer>) => servers !== undefined;
    const answer = await askJson<DrainAnswer>(door, "/drain", isAnswer, { server, upstream, undo });
    const [format] = values.get("--format") ?? ["text"];
    return said(format === "json" ? JSON.stringify(answer, null, 2) + "\n" : textOf(answer));
  } catch (error) {
    if (!(error instanceof LiveError)) throw error;
    return { status: error.status, stdout: "", stderr: `sluice: ${error.message}\n` };
  }
}

function textOf({ servers }: DrainAnswer): string {
  return servers.map(({ upstream, address, drained, changed, connections }) => {
    const still = changed ? "" : " already";
    const what = drained
      ? `is drained${still}: it gets nothing new, ${counted(connections, "connection")} ${
        connections === 1 ? "goes" : "go"
      } on`
      : `is not drained${changed ? " any more" : ""}`;
    return `${address} of upstream ${shown(upstream)} ${what}\n`;
  }).join("");
}
