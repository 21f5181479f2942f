'use strict'
// The package as others get it: installed from the source tree, packed, required, imported, and its types.

const assert = require('node:assert/strict')
const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { test } = require('node:test')
const ringkeep = require('..')
const { fileName } = require('../lib/native.js')

const ROOT = path.join(__dirname, '..')

function run(command, args, cwd) {
  return execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: 120_000 })
}

function temporary(t) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'ringkeep-package-'))
  t.after(() => fs.rmSync(dir, { recursive: true, force: true }))
  return dir
}

const SCRIPT = `import { open, TimeoutError } from 'ringkeep'
const db = await open()
await db.put('user:1', 'Ada')
console.log(String(await db.get('user:1')), typeof TimeoutError)`

test('npm_install_of_the_source_tree_gives_a_module_that_works', (t) => {
  const dir = temporary(t)
  fs.writeFileSync(path.join(dir, 'package.json'), '{"name": "app", "private": true}')
  run('npm', ['install', '--offline', '--no-audit', '--no-fund', ROOT], dir)
  assert.equal(run(process.execPath, ['--input-type=module', '-e', SCRIPT], dir).trim(), 'Ada function')
})

test('the_packed_package_holds_what_it_needs_and_no_more', (t) => {
  const dir = temporary(t)
  const [{ files }] = JSON.parse(run('npm', ['pack', '--json', '--pack-destination', dir], ROOT))
  const names = files.map(({ path: name }) => name)
  for (const needed of ['index.js', 'index.d.ts', 'package.json', 'lib/store.js', fileName()]) assert.ok(names.includes(needed), needed)
  assert.deepEqual(names.filter((name) => /^(test|node_modules|build\.js)/.test(name)), [])
  assert.equal(JSON.parse(fs.readFileSync(path.join(ROOT, 'package.json'), 'utf8')).scripts.install, undefined)
})

test('the_types_pass_the_strict_check_with_every_kind_of_call', () => {
  const tsc = path.join(ROOT, 'node_modules', '.bin', 'tsc')
  assert.ok(fs.existsSync(tsc), 'run `npm install` in node/ first: TypeScript is missing')
  try {
    run(tsc, ['--project', path.join(__dirname, 'types')], ROOT)
  } catch (error) {
    assert.fail(error.stdout)
  }
})

test('the_types_name_exactly_what_is_exported', () => {
  const types = fs.readFileSync(path.join(ROOT, 'index.d.ts'), 'utf8')
  const declared = [...types.matchAll(/^export (?:class|function) (\w+)/gm)].map(([, name]) => name)
  assert.deepEqual([...new Set(declared)].sort(), Object.keys(ringkeep).sort())
})

test('the_quick_start_of_the_readme_runs', (t) => {
  const readme = fs.readFileSync(path.join(ROOT, 'README.md'), 'utf8')
  const [, script] = /```js\n(.*?)```/s.exec(readme)
  const dir = temporary(t)
  fs.mkdirSync(path.join(dir, 'node_modules'))
  fs.symlinkSync(ROOT, path.join(dir, 'node_modules', 'ringkeep'))
  assert.equal(run(process.execPath, ['-e', script], dir), "Ada undefined\ncart:1 [ 'milk' ]\nmilk\n")
})
