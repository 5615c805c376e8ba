// A Sluice from a configuration as JSON has it, which is YAML as well.
import { writeFileSync } from "node:fs";
import { command, type RunOptions, Sluice } from "./executable.ts";
import { Folder } from "./folder.ts";

export interface ConfiguredOptions extends RunOptions {
  /** Flags beside the file. */
  readonly words?: readonly string[];
}

/** Starts one; at the end nothing may have leaked, and SIGTERM ends it well. A test that fails says what Sluice
 * had to say. */
export async function withConfig(
  config: object,
  test: (sluice: Sluice) => Promise<void>,
  { command: own = command("executable"), words = [], ...options }: ConfiguredOptions = {},
): Promise<void> {
  using folder = new Folder();
  writeFileSync(folder.at("sluice.yaml"), JSON.stringify({ reactors: 1, ...config }));
  const run = [...own, "run", "-c", folder.at("sluice.yaml")];
  using sluice = await Sluice.start(words, { ...options, command: run });
  try {
    await test(sluice);
    await sluice.finish();
  } catch (error) {
    const { message } = error as Error;
    if (message.includes("its log:")) throw error;
    throw new Error(`${message}; its log:\n${sluice.stderr.slice(-4_000)}`, { cause: error });
  }
}
