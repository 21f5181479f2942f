// A member in Node.js: member.mjs DIRECTORY LISTEN SEEDS, the seeds with commas between them, or `-` to found the ring.
// Prints `ready ID`, answers each line of its input (`status`, `get KEY`), and ends in order when the input ends.
import { createInterface } from 'node:readline'
import ringkeep from '../../../node/index.js'

const [path, listen, given] = process.argv.slice(2)
const seeds = given === '-' ? [] : given.split(',')
const node = await ringkeep.open(path, { listen, create: seeds.length === 0, seeds, insecure: true })

async function status() {
  const { members } = await node.cluster.status()
  const told = members.map(({ id, state, hintsPending }) => ({ id, state, hints_pending: hintsPending }))
  return JSON.stringify({ status: { members: told }, metrics: node.metrics() })
}

async function get(key) {
  try {
    const value = await node.get(key, { r: 1 })
    return value === undefined ? '-' : value.toString()
  } catch (error) {
    return `error ${error.message}`
  }
}

try {
  await node.ready()
  console.log('ready', node.id)
  for await (const line of createInterface({ input: process.stdin })) {
    const [command, key] = line.split(' ')
    console.log(command === 'get' ? await get(key) : await status())
  }
} finally {
  await node.close()
}
