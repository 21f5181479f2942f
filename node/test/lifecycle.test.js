'use strict'
// Processes and threads: what keeps one alive, and that each may end at any time with operations under way.

const assert = require('node:assert/strict')
const { execFile } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { describe, test } = require('node:test')
const { promisify } = require('node:util')
const { Worker } = require('node:worker_threads')
const { open } = require('..')

const MODULE = JSON.stringify(path.join(__dirname, '..'))
const TIMES = Number(process.env.RINGKEEP_LIFECYCLE_TIMES ?? 20)

/** Runs a script in a process of its own; it has `open`, `connect`, `TestCluster` and `dir`. */
async function run(script, { dir = '' } = {}) {
  const code = `const { open, connect, TestCluster } = require(${MODULE}); const dir = ${JSON.stringify(dir)};
    (async () => { ${script} })()`
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ['-e', code], { timeout: 20_000 })
  assert.equal(stderr, '')
  return stdout.trim()
}

/** Runs a script in a worker thread, with `open`, `TestCluster`, `parentPort` and `dir`; gives the worker. */
function work(script, workerData = '') {
  const code = `const { open, TestCluster } = require(${MODULE}); const { parentPort, workerData: dir } = require('node:worker_threads');
    (async () => { ${script} })()`
  return new Worker(code, { eval: true, workerData })
}

function ended(worker) {
  return new Promise((resolve, reject) => worker.once('error', reject).once('exit', resolve))
}

function temporary(t) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'ringkeep-lifecycle-'))
  t.after(() => fs.rmSync(dir, { recursive: true, force: true }))
  return dir
}

describe('what keeps a process alive', () => {
  test('an_open_node_without_a_port_does_not', async () => {
    assert.equal(await run(`const db = await open(); await db.put('k', 'v'); console.log('done')`), 'done')
  })

  test('an_operation_under_way_does', async () => {
    const script = `const cluster = await TestCluster.start(3); const kv = await cluster.client()
      await Promise.all(Array.from({ length: 100 }, (_, i) => kv.put('k' + i, 'v')))
      console.log(String(await kv.get('k99')))`
    assert.equal(await run(script), 'v')
  })

  test('a_listening_node_does_until_it_is_closed', async () => {
    const listening = `const db = await open(undefined, { listen: '127.0.0.1:0', create: true })`
    await assert.rejects(
      promisify(execFile)(process.execPath, ['-e', `const { open } = require(${MODULE}); (async () => { ${listening} })()`], { timeout: 2000 }),
      { killed: true }
    )
    assert.equal(await run(`${listening}; console.log('open'); await db.close()`), 'open')
    assert.equal(await run(`${listening}; db.unref(); console.log('open')`), 'open')
  })
})

describe('the end of a process', () => {
  test('exit_with_operations_under_way_is_clean', async (t) => {
    const dir = temporary(t)
    const script = `const cluster = await TestCluster.start(3); const kv = await cluster.client()
      const db = await open(dir, { durability: 'sync' })
      for (let i = 0; i < 200; i++) { kv.put('k' + i, 'v').catch(() => {}); db.put('k' + i, 'v').catch(() => {}) }
      setTimeout(() => process.exit(0), Math.random() * 5)`
    for (let i = 0; i < TIMES; i++) assert.equal(await run(script, { dir }), '')
  })

  test('what_was_acknowledged_is_there_after_exit', async (t) => {
    const dir = temporary(t)
    await run(`const db = await open(dir); await db.put('k', 'v'); process.exit(0)`, { dir })
    assert.equal(await run(`const db = await open(dir); console.log(String(await db.get('k')))`, { dir }), 'v')
  })
})

describe('worker threads', () => {
  test('a_worker_has_its_own_stores', async () => {
    const worker = work(`const db = await open(); await db.put('k', 'v'); parentPort.postMessage(String(await db.get('k')))`)
    const [message, code] = await Promise.all([new Promise((resolve) => worker.once('message', resolve)), ended(worker)])
    assert.deepEqual([message, code], ['v', 0])
  })

  test('a_worker_that_exits_gives_its_directory_back', async (t) => {
    const dir = temporary(t)
    assert.equal(await ended(work(`const db = await open(dir); await db.put('k', 'v'); process.exit(3)`, dir)), 3)
    const db = await open(dir)
    assert.equal(String(await db.get('k')), 'v')
    await db.close()
  })

  test('a_worker_that_ends_with_operations_under_way_ends_cleanly', async () => {
    const script = `const cluster = await TestCluster.start(3); const kv = await cluster.client()
      for (let i = 0; i < 500; i++) kv.put('k' + i, 'v').catch(() => {})
      parentPort.postMessage('under way')`
    for (let i = 0; i < TIMES; i++) {
      const worker = work(i % 2 ? script : `${script}; process.exit(0)`)
      const end = ended(worker)
      await new Promise((resolve) => worker.once('message', resolve).once('exit', resolve))
      if (i % 2) await worker.terminate()
      await end
    }
  })

  test('the_module_may_be_loaded_in_workers_alone', async () => {
    const worker = `const { open } = require(${MODULE}); open().then(async (db) => { await db.put('k', 'v'); process.exit(0) })`
    const script = `const { Worker } = require('node:worker_threads'); let left = 5
      const next = () => left-- && new Worker(${JSON.stringify(worker)}, { eval: true }).once('exit', next); next()`
    const { stderr } = await promisify(execFile)(process.execPath, ['-e', script], { timeout: 20_000 })
    assert.equal(stderr, '')
  })
})

test('without_its_compiled_part_the_module_says_what_to_run', async (t) => {
  const dir = temporary(t)
  fs.cpSync(path.join(__dirname, '..', 'lib'), path.join(dir, 'lib'), { recursive: true })
  fs.copyFileSync(path.join(__dirname, '..', 'index.js'), path.join(dir, 'index.js'))
  assert.throws(() => require(dir), /make node-package/)
})
