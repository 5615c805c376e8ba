/** What does a kept-alive client cost an HTTP proxy in memory that came over TLS and says nothing? */
import { haproxyHttps, nginxHttps, sluiceHttps } from "../peers.ts";
import { idleLine } from "./idle.ts";

export const line = idleLine(
  "tls-idle",
  "https, user-space bytes per idle client",
  [sluiceHttps, haproxyHttps, nginxHttps],
  1,
);
