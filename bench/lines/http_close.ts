/** What does a connection cost an HTTP proxy that carries one request and is closed, the server's kept? */
import { haproxyHttp, nginxHttp, sluiceHttp } from "../peers.ts";
import { churnLine } from "./churn.ts";

export const line = churnLine(
  "http-close",
  "http, connect, one request with Connection: close: connections per CPU second of the proxy",
  [sluiceHttp, haproxyHttp, nginxHttp],
);
