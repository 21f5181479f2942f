// A member of a ring in Node.js: node.mjs DIRECTORY LISTEN [SEED].
// Prints one line when it serves. Each line on standard input is a key to read from this node's own copy (r: 1); the answer
// is its SHA-256, or a dash. The node closes in order when the input ends.
import { createHash } from 'node:crypto'
import { createInterface } from 'node:readline'
import ringkeep from 'ringkeep'

const [path, listen, seed] = process.argv.slice(2)
const node = await ringkeep.open(path, { listen, create: !seed, seeds: seed ? [seed] : [] })
try {
  await node.ready()
  console.log('ready', node.id, node.address)
  for await (const key of createInterface({ input: process.stdin })) {
    const value = await node.get(key, { r: 1 })
    console.log(value === undefined ? '-' : createHash('sha256').update(value).digest('hex'))
  }
} finally {
  await node.close()
}
