'use strict'
// Stores: a node is a member of a ring inside this process, a client owns nothing; both have the same operations.

const fs = require('node:fs/promises')
const { fileURLToPath } = require('node:url')
const { ClusterAdmin, metrics } = require('./admin.js')
const { Bucket, INTERNAL } = require('./bucket.js')
const { bytes, codecNamed, show } = require('./codec.js')
const { IoError, invalid } = require('./errors.js')
const { hold, loop, now, release, run, signalOf } = require('./operations.js')
const { checkNames, checkObject, connectOptions, milliseconds } = require('./options.js')

const DEFAULT_BUCKET = 'default'
const asyncDispose = Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')

class Store extends Bucket {
  #native

  constructor(internal, native) {
    super(internal, native && bucketOf(native), DEFAULT_BUCKET, { codec: bytes })
    this.#native = native
    Object.defineProperty(this, 'cluster', { value: new ClusterAdmin(native) })
  }

  bucket(name, o = {}) {
    checkNames(o, ['codec', 'resolve'])
    if (typeof name !== 'string') throw invalid(`the name of a bucket must be a string, not ${show(name)}`)
    const { resolve } = o
    if (resolve !== undefined && typeof resolve !== 'function') {
      throw invalid(`resolve must be a function of the siblings, not ${show(resolve)}`)
    }
    return new Bucket(INTERNAL, bucketOf(this.#native, name), name, { codec: codecNamed(o.codec), resolve })
  }

  metrics() {
    return metrics(this.#native)
  }

  async ready(o = {}) {
    checkNames(o, ['timeout', 'signal'])
    const timeout = milliseconds('timeout', o.timeout)
    await run((id) => this.#native.ready(id, timeout), signalOf(o))
  }

  async close(o = {}) {
    checkNames(o, ['timeout'])
    const timeout = milliseconds('timeout', o.timeout)
    await run((id) => this.#native.close(id, timeout))
  }

  [asyncDispose]() {
    return this.close()
  }
}

function bucketOf(native, name) {
  now(() => native.openBucket(name))
  return native.takeBucket()
}

class Node extends Store {
  #held = false

  constructor(internal, native) {
    super(internal, native)
    Object.defineProperty(this, 'id', { value: native.nodeId, enumerable: true })
    Object.defineProperty(this, 'address', { value: native.address ?? undefined, enumerable: true })
    if (this.address !== undefined) this.ref()
  }

  /** The node keeps the process alive until it is closed, as a listening node does from the start. */
  ref() {
    if (!this.#held) hold()
    this.#held = true
    return this
  }

  /** The node does not keep the process alive. */
  unref() {
    if (this.#held) release()
    this.#held = false
    return this
  }

  async close(o) {
    try {
      await super.close(o)
    } finally {
      this.unref()
    }
  }
}

class Client extends Store {}

/** The node or client that the operation of this number has opened. */
const node = (_, id) => new Node(INTERNAL, loop.takeStore(id))
const client = (_, id) => new Client(INTERNAL, loop.takeStore(id))

const OPEN = [
  ...['listen', 'advertise', 'seeds', 'create', 'location', 'admin', 'capacity', 'durability', 'partitions'],
  ...['tls', 'insecure', 'config', 'signal']
]

async function open(path, o = {}) {
  checkNames(o, OPEN)
  const { config, signal: _, ...settings } = o
  const directory = path === undefined ? undefined : pathText(path)
  const toml = typeof config === 'string' ? await read(config) : undefined
  const base = toml === undefined && config !== undefined ? checkObject(config) : {}
  const json = JSON.stringify({ ...base, ...given(settings) })
  return run((id) => loop.open(id, directory, json, toml), signalOf(o), undefined, node)
}

/** The fields that are not undefined: one that is must not hide the configuration's. */
function given(fields) {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
}

function pathText(path) {
  if (path instanceof URL) return fileURLToPath(path)
  if (typeof path === 'string' && path !== '' && !path.includes('\0')) return path
  throw invalid(`the path must be a string or a file URL, not ${show(path)}; options are the second argument`)
}

async function read(file) {
  try {
    return await fs.readFile(file, 'utf8')
  } catch (cause) {
    throw new IoError(`config: ${cause.message}`, { operation: 'open', cause })
  }
}

const URI_DEFAULT = 'ringkeep://127.0.0.1:7400'

async function connect(uri = URI_DEFAULT, o = {}) {
  const uris = Array.isArray(uri) ? uri : [uri]
  const other = uris.find((each) => typeof each !== 'string')
  if (other !== undefined) throw invalid(`the uri must be a string or an array of strings, not ${show(other)}`)
  const json = connectOptions(o)
  return run((id) => loop.connect(id, uris, json), signalOf(o), undefined, client)
}

module.exports = { Store, Node, Client, open, connect, client, asyncDispose }
