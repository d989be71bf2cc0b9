// Builds the playground's script and the licences of what is bundled in it. Same input, same bytes.
// node build.mjs [FOLDER]   (default: the folder that the Python package serves)

import { readFile, readdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const here = path.dirname(fileURLToPath(import.meta.url));
const folder = path.resolve(process.argv[2] ?? path.join(here, "../../src/paceline/server/playground/static"));

const { metafile } = await build({
  absWorkingDir: here,
  entryPoints: ["src/playground.js"],
  outfile: path.join(folder, "playground.js"),
  bundle: true,
  minify: true,
  format: "iife",
  target: ["es2022"],
  legalComments: "eof",
  charset: "utf8",
  banner: {
    js: "/*! Paceline playground (Apache-2.0), with CodeMirror and Lezer (MIT): see third-party-licenses.txt */",
  },
  metafile: true,
});

/** The packages whose code is in the bundle, as paths below node_modules, sorted. */
function bundledPackages() {
  const inputs = Object.values(metafile.outputs).flatMap((output) =>
    Object.entries(output.inputs)
      .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
      .map(([input]) => input),
  );
  const names = inputs.flatMap((input) => /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1] ?? []);
  return [...new Set(names)].sort();
}

async function licenceOf(name) {
  const home = path.join(here, "node_modules", name);
  const { version, license } = JSON.parse(await readFile(path.join(home, "package.json"), "utf8"));
  const file = (await readdir(home)).find((entry) => /^licen[cs]e/i.test(entry));
  if (!file) throw new Error(`${name} has no licence file; it cannot be bundled.`);
  const text = (await readFile(path.join(home, file), "utf8")).replaceAll("\r\n", "\n").trim();
  return { title: `${name} ${version} (${license})`, text };
}

const titlesByText = new Map();
for (const name of bundledPackages()) {
  const { title, text } = await licenceOf(name);
  titlesByText.set(text, [...(titlesByText.get(text) ?? []), title]);
}
const rule = "-".repeat(80);
const sections = [...titlesByText].map(([text, titles]) => `${rule}\n${titles.join("\n")}\n${rule}\n\n${text}\n`);
await writeFile(
  path.join(folder, "third-party-licenses.txt"),
  `playground.js contains code of these packages.\n\n${sections.join("\n")}`,
);
