'use strict'
// Builds the compiled part with cargo and puts it beside index.js. `--debug` builds without optimisation; `--if-missing`
// does nothing where there is one: so `npm install` of a source tree gives a module that works (npm's `prepare`, which
// it does not run for a package from the registry).

const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { fileName } = require('./lib/native.js')

const target = path.join(__dirname, fileName())
if (process.argv.includes('--if-missing') && fs.existsSync(target)) process.exit()

const profile = process.argv.includes('--debug') ? [] : ['--release']
const cargo = spawnSync(
  process.env.CARGO ?? 'cargo',
  ['build', '-p', 'ringkeep-node', ...profile, '--message-format=json-render-diagnostics'],
  { cwd: path.join(__dirname, '..'), stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 1 << 28, encoding: 'utf8' }
)
if (cargo.error) throw cargo.error
if (cargo.status !== 0) process.exit(cargo.status ?? 1)

const library = cargo.stdout
  .split('\n')
  .filter((line) => line.startsWith('{'))
  .map((line) => JSON.parse(line))
  .filter((message) => message.reason === 'compiler-artifact' && message.target.name === 'ringkeep_node')
  .flatMap((message) => message.filenames)
  .find((file) => /\.(so|dylib|dll)$/.test(file))
if (!library) throw new Error('cargo has built no library named ringkeep_node')

// A process may have the old file mapped: put the new one in its place whole, never write into it.
fs.copyFileSync(library, `${target}.new`)
fs.renameSync(`${target}.new`, target)
process.stdout.write(`${path.relative(process.cwd(), target)}\n`)
