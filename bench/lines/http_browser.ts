/** What does a request cost an HTTP proxy when its head is one that a browser sends? */
import { headLine } from "./http_small.ts";

export const line = headLine("http-browser", "browser heads", {
  path: "/",
  arguments: ["-s", "bench/browser.lua"],
});
