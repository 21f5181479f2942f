'use strict'
// The event loop's thread and the disk: opening and closing, with their fsyncs, happen elsewhere.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { test } = require('node:test')
const { open } = require('..')

/** Whether the promise settles without a turn of the loop: what left the thread can only come back in one. */
async function atOnce(promise) {
  let settled = false
  const value = promise.then((each) => {
    settled = true
    return each
  })
  for (let i = 0; i < 10; i++) await null
  return { settled, value: await value }
}

test('opening_and_closing_leave_the_event_loop_to_others', async (t) => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'ringkeep-disk-'))
  t.after(() => fs.rmSync(dir, { recursive: true, force: true }))
  const db = await open(dir)
  await db.put('k', 'v')
  assert.equal((await atOnce(db.close())).settled, false)
  const again = await atOnce(open(dir))
  assert.equal(again.settled, false)
  await again.value.close()
})

test('a_write_that_waits_for_an_fsync_leaves_the_event_loop_to_others', async (t) => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'ringkeep-disk-'))
  t.after(() => fs.rmSync(dir, { recursive: true, force: true }))
  const db = await open(dir, { durability: 'sync' })
  assert.equal((await atOnce(db.put('k', 'v'))).settled, false)
  assert.equal((await atOnce(db.get('k'))).settled, true)
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
  const { settled, value } = await atOnce(db.get('k7'))
  assert.equal(settled, false)
  assert.ok(value.equals(Buffer.alloc(4096, 7)))
  await db.close()
})
