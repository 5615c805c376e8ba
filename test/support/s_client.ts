// `openssl s_client`: what somebody else's TLS sees of a listener.
import { spawn } from "node:child_process";
import { within } from "./waiting.ts";

/** All that it printed. Once connected it says `said`; it leaves when it has printed `enough`, or is left. */
export async function sClient(
  port: number,
  words: readonly string[] = [],
  said = "",
  enough = /Verify return code:/,
): Promise<string> {
  const child = spawn("openssl", ["s_client", "-connect", `127.0.0.1:${port}`, ...words], {
    stdio: ["pipe", "pipe", "pipe"],
  });
  let text = "";
  child.stdin.on("error", () => {}); // it may be gone before it has heard us
  child.stdin.write(said);
  for (const output of [child.stdout, child.stderr]) {
    output.setEncoding("latin1").on("data", (more: string) => {
      text += more;
      if (enough.test(text)) child.stdin.end();
    });
  }
  const ended = new Promise((resolve, reject) => {
    child.on("close", resolve);
    child.on("error", reject);
  });
  try {
    await within(`openssl s_client ${words.join(" ")} to end`, ended);
  } catch (error) {
    throw new Error(`${(error as Error).message}; it said:\n${text}`);
  } finally {
    child.kill("SIGKILL");
  }
  return text;
}
