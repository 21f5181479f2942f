// What a stranger tries first with the installed Node.js package: a durable node, then a ring of three.
import assert from 'node:assert'
import { open, TestCluster } from 'ringkeep'

const db = await open('data')
await db.put('user:1', 'Ada')
assert.equal(String(await db.get('user:1')), 'Ada')
assert.equal(await db.get('nope'), undefined)
await db.close()
const again = await open('data')
assert.equal(String(await again.get('user:1')), 'Ada')
await again.close()
const cluster = await TestCluster.start(3)
try {
  const kv = await cluster.client()
  assert.ok((await kv.put('cart', 'milk', { w: 2 })).owners >= 2)
  await cluster.kill(0)
  assert.equal(String(await kv.get('cart', { consistency: 'quorum' })), 'milk')
} finally {
  await cluster[Symbol.asyncDispose]()
}
