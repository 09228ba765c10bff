// Makes one file of the plugin and all that it uses, since one file is what castd installs and whose checksum it pins.
import { chmod } from 'node:fs/promises';
import { build } from 'esbuild';

const outfile = 'dist/castd-plugin-webhook';
await build({
  entryPoints: ['src/main.mjs'],
  outfile,
  bundle: true,
  platform: 'node',
  target: 'node18',
  // A file without an extension is CommonJS for node.
  format: 'cjs',
  banner: { js: '#!/usr/bin/env node' },
  loader: { '.proto': 'text' },
  legalComments: 'eof',
  logLevel: 'warning',
});
await chmod(outfile, 0o755);
