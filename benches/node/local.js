'use strict'
// Ringkeep inside a Node.js process against a Map, lmdb and classic-level: gets one after the other, puts with 64 in flight.
// All run interleaved in one process, three rounds, medians; the ratios are to the peer in the same run.
// Run by `make bench`; alone: `npm install` here and `make node-package` first.

const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { ClassicLevel } = require('classic-level')
const { open: openLmdb } = require('lmdb')
const { open } = require('../../node')

const KEYS = 10_000
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 3)
const ROUND_MS = Number(process.env.BENCH_SECONDS ?? 1) * 1000
const IN_FLIGHT = 64
const value = Buffer.alloc(100, 'v')
const keys = Array.from({ length: KEYS }, (_, i) => `user:${String(i).padStart(8, '0')}`)

/** Operations per second and CPU microseconds of the whole process for each. */
async function measure(step, operations) {
  const cpu = process.cpuUsage()
  const start = performance.now()
  let count = 0
  while (performance.now() - start < ROUND_MS) {
    for (let i = 0; i < 100; i++, count += operations) {
      const done = step(count)
      if (done !== undefined) await done
    }
  }
  const { user, system } = process.cpuUsage(cpu)
  return { rate: (count * 1000) / (performance.now() - start), cpu: (user + system) / count }
}

const many = (put) => (at) => Promise.all(Array.from({ length: IN_FLIGHT }, (_, i) => put(keys[(at + i) % KEYS])))

async function main() {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'ringkeep-bench-'))
  const memory = await open()
  const durable = await open(path.join(dir, 'ringkeep'))
  const lmdb = openLmdb({ path: path.join(dir, 'lmdb'), encoding: 'binary' })
  const level = new ClassicLevel(path.join(dir, 'level'), { valueEncoding: 'buffer' })
  const map = new Map()
  for (const key of keys) {
    map.set(key, value)
    await Promise.all([memory.put(key, value), durable.put(key, value), lmdb.put(key, value), level.put(key, value)])
  }

  const gets = {
    Map: (at) => void map.get(keys[at % KEYS]),
    'lmdb (sync)': (at) => void lmdb.get(keys[at % KEYS]),
    'ringkeep, memory': (at) => memory.get(keys[at % KEYS]),
    'ringkeep, disk': (at) => durable.get(keys[at % KEYS])
  }
  const puts = {
    'classic-level': many((key) => level.put(key, value)),
    lmdb: many((key) => lmdb.put(key, value)),
    'ringkeep, memory': many((key) => memory.put(key, value)),
    'ringkeep, disk': many((key) => durable.put(key, value))
  }
  const get = await report('get, one after the other', gets, 1, 'lmdb (sync)')
  const put = await report(`put, ${IN_FLIGHT} in flight`, puts, IN_FLIGHT, 'classic-level')
  console.log(`\n${'ratio, in this run'.padEnd(62)}    here    must     aim  distance`)
  distance('Node local get, disk ÷ lmdb-js', get['ringkeep, disk'], 0.35, 0.7)
  distance('Node put, disk, 64 in flight ÷ classic-level', put['ringkeep, disk'], 0.8, 1.3)

  await Promise.all([memory.close(), durable.close(), lmdb.close(), level.close()])
  fs.rmSync(dir, { recursive: true })
}

/** Prints a ratio, what it must and should be, and how far it is from that. */
function distance(what, here, must, aim) {
  const off = (goal) => `${(goal / here).toFixed(1)} times off`
  const word = here >= aim ? 'aim met' : here >= must ? `must met, ${off(aim)} the aim` : off(must)
  console.log(what.padEnd(62) + [here.toFixed(2), must, aim].map((cell) => String(cell).padStart(8)).join('') + `  ${word}`)
}

/** Measures and prints; gives each store's ratio to the peer. */
async function report(title, steps, operations, peer) {
  const rounds = Object.fromEntries(Object.keys(steps).map((name) => [name, []]))
  for (let round = -1; round < ROUNDS; round++) {
    for (const [name, step] of Object.entries(steps)) {
      const result = await measure(step, operations)
      if (round >= 0) rounds[name].push(result) // The first only warms up.
    }
  }
  const median = (values) => values.sort((a, b) => a - b)[values.length >> 1]
  const base = median(rounds[peer].map(({ rate }) => rate))
  const ratios = {}
  console.log(`\nNode.js ${process.version}, ${value.length} B values: ${title}`)
  for (const [name, results] of Object.entries(rounds)) {
    const rate = median(results.map((each) => each.rate))
    const cpu = median(results.map((each) => each.cpu))
    ratios[name] = rate / base
    const cells = [name.padEnd(18), `${Math.round(rate / 1000)}k/s`.padStart(8), `${cpu.toFixed(2)} µs CPU`.padStart(12)]
    console.log(`  ${cells.join('  ')}  ${ratios[name].toFixed(2).padStart(6)} × ${peer}`)
  }
  return ratios
}

main()
