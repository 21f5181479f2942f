'use strict'
// The event loop's thread and the disk: opening and closing, with their fsyncs, happen elsewhere.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { test } = require('node:test')
const { open } = require('..')

/** Whether the loop turned before the promise settled. */
async function turns(promise) {
  let turned = false
  setImmediate(() => (turned = true))
  const value = await promise
  return { turned, value }
}

test('opening_and_closing_leave_the_event_loop_to_others', async (t) => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'ringkeep-disk-'))
  t.after(() => fs.rmSync(dir, { recursive: true, force: true }))
  const { turned, value: db } = await turns(open(dir))
  assert.ok(turned, 'open settled within the call')
  await db.put('k', 'v')
  assert.ok((await turns(db.close())).turned, 'close settled within the call')
})

test('a_write_that_waits_for_an_fsync_leaves_the_event_loop_to_others', async (t) => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'ringkeep-disk-'))
  t.after(() => fs.rmSync(dir, { recursive: true, force: true }))
  const db = await open(dir, { durability: 'sync' })
  assert.ok((await turns(db.put('k', 'v'))).turned, 'the put settled within the call')
  assert.ok(!(await turns(db.get('k'))).turned, 'the get waited')
  await db.close()
})

test('a_cold_read_leaves_the_event_loop_to_others', async (t) => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'ringkeep-disk-'))
  t.after(() => fs.rmSync(dir, { recursive: true, force: true }))
  const config = { memory_table_bytes: 65536 }
  const before = await open(dir, { config })
  await before.putMany(Array.from({ length: 100 }, (_, i) => [`k${i}`, Buffer.alloc(4096, i)]))
  await before.close()
  const db = await open(dir, { config })
  const { turned, value } = await turns(db.get('k7'))
  assert.ok(turned, 'the read settled within the call')
  assert.ok(value.equals(Buffer.alloc(4096, 7)))
  await db.close()
})
