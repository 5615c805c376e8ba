/** How long does a request take through an HTTP proxy at a load every proxy carries? */
import { haproxyHttp, nginxHttp, sluiceHttp } from "../peers.ts";
import { latencyLine } from "./latency.ts";

export const line = latencyLine(
  "http-latency",
  "http, small messages at half of the lowest saturated rate: latency, open loop",
  [sluiceHttp, haproxyHttp, nginxHttp],
);
