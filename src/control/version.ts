// The version of this build, from the one place that names it. The bundler copies it into the executable.
import manifest from "../../package.json" with { type: "json" };

/** As in package.json: `0.1.0`. */
export const VERSION: string = manifest.version;
