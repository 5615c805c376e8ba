// A Sluice whose file changes under it, and that is asked to read it again.
import { writeFileSync } from "node:fs";
import { deepStrictEqual, ok } from "node:assert/strict";
import { request } from "node:http";
import type { ReloadAnswer, Reloaded, ReloadRefused } from "../../src/control/reload_answer.ts";
import { command, type RunOptions, Sluice } from "./executable.ts";
import { Folder } from "./folder.ts";
import { within } from "./waiting.ts";

/** A Sluice, the folder with its file, and ways to have that read. */
export class Reloads {
  readonly sluice: Sluice;
  readonly folder: Folder;

  constructor(sluice: Sluice, folder: Folder) {
    this.sluice = sluice;
    this.folder = folder;
  }

  get file(): string {
    return this.folder.at("sluice.yaml");
  }

  /** What the file is to say from here on. */
  write(config: object | string): void {
    writeFileSync(this.file, typeof config === "string" ? config : textOf(config));
  }

  /** Asks by the admin API. */
  ask(): Promise<ReloadAnswer> {
    const answer = new Promise<ReloadAnswer>((resolve, reject) => {
      const headers = { "content-type": "application/json" };
      const asked = request(
        `${this.sluice.admin}/reload`,
        { method: "POST", headers, agent: false },
        (said) => {
          let text = "";
          said.setEncoding("utf8").on("data", (part: string) => text += part);
          said.on("error", reject);
          said.on("end", () => {
            if (said.statusCode === 200 || said.statusCode === 409) resolve(JSON.parse(text));
            else reject(new Error(`${said.statusCode}: ${text}`));
          });
        },
      );
      asked.on("error", reject);
      asked.end("{}");
    });
    return within("an answer to /reload", answer);
  }

  /** The file is taken, in which `config` is written if it is given. */
  async take(config?: object | string): Promise<Reloaded> {
    if (config !== undefined) this.write(config);
    const answer = await this.ask();
    ok(answer.reloaded, JSON.stringify(answer));
    return answer;
  }

  /** The file is refused. */
  async refuse(config?: object | string): Promise<ReloadRefused> {
    if (config !== undefined) this.write(config);
    const answer = await this.ask();
    ok(!answer.reloaded, JSON.stringify(answer));
    return answer;
  }
}

function textOf(config: object): string {
  return JSON.stringify({ reactors: 2, ...config });
}

export interface ReloadsOptions extends RunOptions {
  readonly words?: readonly string[];
}

/** Starts one; at the end nothing may have leaked, and SIGTERM ends it well. */
export async function withReloads(
  config: object | ((folder: Folder) => object),
  test: (reloads: Reloads) => Promise<void>,
  { command: own = command("executable"), words = [], ...options }: ReloadsOptions = {},
): Promise<void> {
  using folder = new Folder();
  const first = typeof config === "function" ? config(folder) : config;
  writeFileSync(folder.at("sluice.yaml"), textOf(first));
  const run = [...own, "run", "-c", folder.at("sluice.yaml")];
  using sluice = await Sluice.start(words, { ...options, command: run });
  try {
    await test(new Reloads(sluice, folder));
    await sluice.finish();
  } catch (error) {
    const { message } = error as Error;
    if (message.includes("its log:")) throw error;
    throw new Error(`${message}; its log:\n${sluice.stderr.slice(-4_000)}`, { cause: error });
  }
}

/** Nothing is told to be other than before. */
export function assertNothing(answer: Reloaded): void {
  const none = { count: 0, names: [] }, no = { added: none, removed: none, changed: none };
  const { changed, listeners, upstreams, servers, settings, lists, gone } = answer;
  deepStrictEqual({ changed, listeners, upstreams, servers, settings, lists, gone }, {
    changed: false,
    listeners: no,
    upstreams: no,
    servers: no,
    settings: [],
    lists: [],
    gone: [],
  });
}
