/** What does a kept-alive client cost an HTTP proxy in memory while it says nothing? */
import { haproxyHttp, nginxHttp, sluiceHttp } from "../peers.ts";
import { idleLine } from "./idle.ts";

export const line = idleLine("http-idle", "http, user-space bytes per idle client", [
  sluiceHttp,
  haproxyHttp,
  nginxHttp,
]);
