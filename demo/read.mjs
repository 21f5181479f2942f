// Reads keys through a client: read.mjs URI < keys. Prints the SHA-256 of each value, or a dash, in order.
import { createHash } from 'node:crypto'
import { createInterface } from 'node:readline'
import ringkeep from 'ringkeep'

const client = await ringkeep.connect(process.argv[2], { timeout: 10_000 })
const show = async (keys) => {
  const values = await client.getMany(keys)
  const line = (value) => (value === undefined ? '-' : createHash('sha256').update(value).digest('hex'))
  process.stdout.write(values.map((value) => line(value) + '\n').join(''))
}
try {
  let batch = []
  for await (const key of createInterface({ input: process.stdin })) {
    batch.push(key)
    if (batch.length === 64) await show(batch.splice(0))
  }
  await show(batch)
} finally {
  await client.close()
}
