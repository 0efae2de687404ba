// What the benchmark tells a peer: the file that its one argument names.
import { readFileSync } from "node:fs";

export const config = JSON.parse(readFileSync(process.argv[2], "utf8"));
