'use strict'
// Runs tests/behaviour/*.json, the suite that every language runs. Its README.md specifies the steps; a word that this
// runner does not know fails its case.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { after, test } = require('node:test')
const { setTimeout: sleep } = require('node:timers/promises')
const { Context, TestCluster, connect, open } = require('..')
const { bytes, checkExpectation, codeOf } = require('./behaviour/expectations.js')

const SUITE = path.join(__dirname, '..', '..', 'tests', 'behaviour')
const ARGUMENTS = ['listen', 'advertise', 'seeds', 'create', 'location', 'admin', 'capacity', 'durability', 'partitions', 'insecure']
const ABORT = new Error('the merge function gave up')
const UNTIL_MS = 10_000

const counts = { passed: 0, failed: 0, skipped: 0 }

/** One case under way: its stores, contexts and variables. */
class Case {
  constructor(dir) {
    this.variables = { dir, pid: String(process.pid) }
    this.stores = new Map()
    this.contexts = new Map()
    this.streams = new Map()
  }

  async setUp({ store, settings, buckets = [], size = 3, n = 3, ...rest }) {
    assert.deepEqual(Object.keys(rest), [], 'unknown words in setup')
    if (store === 'memory') await this.open('main', undefined, settings)
    else if (store === 'durable') await this.open('main', '${dir}/main', settings)
    else if (store === 'cluster') await this.startCluster(size, n)
    else assert.equal(store, 'none')
    for (const each of this.stores.values()) await each.ready()
    for (const { name, ...rules } of buckets) await this.store().cluster.createBucket(name, bucketRules(rules))
  }

  async open(as, directory, settings = {}) {
    const given = Object.entries(this.fill(settings))
    const config = Object.fromEntries(given.filter(([name]) => !ARGUMENTS.includes(name)))
    const own = Object.fromEntries(given.filter(([name]) => ARGUMENTS.includes(name)))
    const node = await open(this.fill(directory), { ...own, config })
    this.stores.set(as, node)
  }

  async startCluster(size, n) {
    this.cluster = await TestCluster.start(size, { n })
    this.took()
    this.stores.set('main', await this.cluster.client())
  }

  took() {
    this.cluster.nodes.forEach((node, index) => this.stores.set(`node${index}`, node))
  }

  async tearDown() {
    for (const store of this.stores.values()) await store.close({ timeout: 1000 })
    await this.cluster?.close()
  }

  store(name = 'main') {
    return this.stores.get(name) ?? assert.fail(`no store ${name}`)
  }

  bucket({ store, bucket, codec }) {
    const opened = this.store(store)
    return bucket === undefined && codec === undefined ? opened : opened.bucket(bucket ?? 'default', { codec })
  }

  /** Puts variables into the texts of a value. */
  fill(value) {
    if (typeof value === 'string') {
      return value.replace(/\$\{(\w+)\}/g, (_, name) => this.variables[name] ?? assert.fail(`no variable ${name}`))
    }
    if (Array.isArray(value)) return value.map((each) => this.fill(each))
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, this.fill(each)]))
  }

  options({ timeout_ms, ttl_ms, context, ...rest } = {}) {
    const options = { ...rest }
    if (timeout_ms !== undefined) options.timeout = timeout_ms
    if (ttl_ms !== undefined) options.ttl = ttl_ms
    if (context !== undefined) options.context = this.context(context)
    return options
  }

  context(saved) {
    if (typeof saved === 'object') return Context.from(bytes(saved.bytes).toString())
    return this.contexts.get(saved) ?? assert.fail(`no context ${saved}`)
  }

  async run(step) {
    const { op, expect = {}, save, until = false } = step
    const act = OPERATIONS[op] ?? assert.fail(`unknown operation ${op}`)
    const deadline = Date.now() + UNTIL_MS
    for (;;) {
      const outcome = await act.call(this, step).then(
        (value) => ({ value }),
        (error) => ({ error })
      )
      try {
        checkExpectation(this, expect, outcome, step)
        if (save !== undefined && typeof save === 'string' && outcome.value?.context) this.contexts.set(save, outcome.value.context)
        if (save !== undefined && outcome.error?.context) this.contexts.set(save, outcome.error.context)
        return
      } catch (failure) {
        if (!until || Date.now() > deadline) throw failure
      }
      await sleep(10)
    }
  }
}

function bucketRules({ ttl_ms, ...rules }) {
  return ttl_ms === undefined ? rules : { ...rules, ttl: ttl_ms }
}

const MERGES = {
  concat_sorted: (siblings, add) => {
    const all = add === undefined ? [...siblings] : [...siblings, add]
    return Buffer.from(all.map(String).sort().join(','))
  },
  count: (siblings) => String(siblings.length),
  delete: () => undefined,
  abort: () => {
    throw ABORT
  }
}

const ADMIN = {
  leave: (store) => store.cluster.leave(),
  remove: (store, { node_id }) => store.cluster.remove(node_id),
  repair: (store) => store.cluster.repair(),
  backup: (store, { path }) => store.cluster.backup(path),
  alter_bucket: (store, { name, ...changes }) => store.cluster.alterBucket(name, changes),
  drop_bucket: (store, { name }) => store.cluster.dropBucket(name)
}

/** Bounds and limit of a scan, with its options. */
function range(current, { prefix, start, end, limit, options }) {
  const bounds = Object.entries({ prefix, start, end }).filter(([, bound]) => bound !== undefined)
  const said = limit === undefined ? {} : { limit }
  return { ...said, ...Object.fromEntries(bounds.map(([name, bound]) => [name, bytes(bound)])), ...current.options(options) }
}

/** Every item of a scan; an item's error stands in its place and the scan goes on. */
async function items(scan) {
  const all = []
  for (;;) {
    try {
      const { done, value } = await scan.next()
      if (done) return all
      all.push(value)
    } catch (error) {
      if (codeOf(error) !== 'CONFLICT') throw error
      all.push([error.key, { error }])
    }
  }
}

const OPERATIONS = {
  async open({ as, path: directory, settings }) {
    await this.open(as, directory, settings)
  },
  async connect({ as, uri }) {
    this.stores.set(as, await connect(this.fill(uri)))
  },
  async address({ store, save }) {
    this.variables[save] = this.store(store).address
  },
  async ready({ store, options }) {
    await this.store(store).ready(this.options(options))
  },
  async close({ store }) {
    await this.store(store).close()
  },
  async write_file({ path: file, value }) {
    fs.mkdirSync(path.dirname(this.fill(file)), { recursive: true })
    fs.writeFileSync(this.fill(file), bytes(value))
  },
  async put(step) {
    return this.bucket(step).put(bytes(step.key), bytes(step.value, step.codec), this.options(step.options))
  },
  async get(step) {
    return this.bucket(step).get(bytes(step.key), this.options(step.options))
  },
  async read(step) {
    return this.bucket(step).read(bytes(step.key), this.options(step.options))
  },
  async delete(step) {
    return this.bucket(step).delete(bytes(step.key), this.options(step.options))
  },
  async update(step) {
    const merge = MERGES[step.merge] ?? assert.fail(`unknown merge ${step.merge}`)
    const add = step.add === undefined ? undefined : bytes(step.add)
    return this.bucket(step).update(bytes(step.key), (siblings) => merge(siblings, add), this.options(step.options))
  },
  async get_many(step) {
    return this.bucket(step).getMany(step.keys.map((key) => bytes(key)), this.options(step.options))
  },
  async put_many(step) {
    const pairs = step.items.map(([key, value]) => [bytes(key), bytes(value, step.codec)])
    return this.bucket(step).putMany(pairs, this.options(step.options))
  },
  async scan(step) {
    return items(this.bucket(step).scan(range(this, step)))
  },
  async count(step) {
    return this.bucket(step).count(range(this, step))
  },
  async clear(step) {
    return this.bucket(step).clear(range(this, step))
  },
  async fill(step) {
    const keys = Array.from({ length: step.count }, (_, i) => step.prefix + String(i).padStart(6, '0'))
    await this.bucket(step).putMany(keys.map((key) => [key, key]), this.options(step.options))
  },
  async create_bucket({ store, name, n, r, w, resolver, ttl_ms, sloppy }) {
    const rules = Object.entries({ n, r, w, resolver, ttl_ms, sloppy }).filter(([, rule]) => rule !== undefined)
    await this.store(store).cluster.createBucket(name, bucketRules(Object.fromEntries(rules)))
  },
  async buckets({ store }) {
    return this.store(store).cluster.buckets()
  },
  async status({ store }) {
    return this.store(store).cluster.status()
  },
  async admin({ store, command, arguments: given = {} }) {
    return (ADMIN[command] ?? assert.fail(`unknown command ${command}`))(this.store(store), this.fill(given))
  },
  async forge({ context, save }) {
    const text = this.context(context).toString()
    this.contexts.set(save, Context.from(text.slice(0, 11) + (text[11] === 'A' ? 'B' : 'A') + text.slice(12)))
  },
  async round_trip({ context, save }) {
    this.contexts.set(save, Context.from(JSON.parse(JSON.stringify(this.context(context)))))
  },
  async kill({ node }) {
    await this.cluster.kill(node)
  },
  async restart({ node }) {
    await this.cluster.restart(node)
    this.took()
  },
  async explain(step) {
    return this.bucket(step).explain(bytes(step.key))
  },
  async watch({ store, as }) {
    this.streams.set(as, this.store(store).cluster.events())
  },
  async event({ stream, kind }) {
    const events = this.streams.get(stream) ?? assert.fail(`no stream ${stream}`)
    const late = AbortSignal.timeout(UNTIL_MS)
    late.addEventListener('abort', () => events.return())
    for (;;) {
      const { done, value } = await events.next()
      if (done) assert.fail(`no event ${kind} came`)
      if (value.kind === kind) return value
    }
  },
  async settle() {
    await this.cluster.settle()
  },
  async partition({ groups }) {
    await this.cluster.partition(...groups)
  },
  async heal() {
    await this.cluster.heal()
  }
}

for (const file of fs.readdirSync(SUITE).filter((name) => name.endsWith('.json'))) {
  for (const { name, setup, steps, skip = {} } of JSON.parse(fs.readFileSync(path.join(SUITE, file), 'utf8')).cases) {
    if (skip.node !== undefined) counts.skipped++
    test(name, { skip: skip.node }, async () => {
      counts.failed++
      const current = new Case(fs.mkdtempSync(path.join(os.tmpdir(), 'ringkeep-behaviour-')))
      try {
        await current.setUp(setup)
        for (const [index, step] of steps.entries()) {
          await current.run(step).catch((error) => {
            throw new Error(`step ${index} (${step.op}): ${error.message}`, { cause: error })
          })
        }
      } finally {
        await current.tearDown()
        fs.rmSync(current.variables.dir, { recursive: true, force: true })
      }
      counts.failed--
      counts.passed++
    })
  }
}

after(() => console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`))

