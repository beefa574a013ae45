// Run by `busway plugin build`: bundles the entry, then makes a component of the bundle.
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { writeFile } from 'node:fs/promises';

const [kept, source, witPath, worldName, made, ...disableFeatures] = process.argv.slice(2);
const modules = join(kept, 'node_modules');
const bundle = join(dirname(fileURLToPath(import.meta.url)), 'plugin.js');

try {
  const { build } = createRequire(join(modules, 'x.js'))('esbuild');
  await build({
    entryPoints: [source],
    outfile: bundle,
    bundle: true,
    format: 'esm',
    target: 'es2023',
    platform: 'neutral',
    mainFields: ['module', 'main'],
    // What the hub offers is linked, not bundled.
    external: ['busway:*', 'wasi:*'],
    logLevel: 'error',
  });
} catch {
  process.exit(1); // esbuild has said why
}
try {
  const entry = join(modules, '@bytecodealliance/componentize-js/src/componentize.js');
  const { componentize } = await import(pathToFileURL(entry));
  const { component } = await componentize({ sourcePath: bundle, witPath, worldName, disableFeatures });
  await writeFile(made, component);
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
