'use strict'
// A bucket handle: a named keyspace of a store, read and written through a codec.

const { checkBytes, show } = require('./codec.js')
const { Entry } = require('./entry.js')
const { PartialFailureError, invalid } = require('./errors.js')
const { explanation } = require('./inquiry.js')
const { native, run, signalOf } = require('./operations.js')
const options = require('./options.js')
const { Scan } = require('./scan.js')

/** Only the package itself makes handles. */
const INTERNAL = Symbol('ringkeep')

class Bucket {
  #native
  #view

  /** `view` is how values are read: `{ codec, resolve }`. */
  constructor(internal, opened, name, view) {
    if (internal !== INTERNAL) throw invalid('use open, connect or store.bucket: handles are not made with new')
    this.#native = opened
    this.#view = view
    Object.defineProperty(this, 'name', { value: name, enumerable: true })
  }

  get(key, o) {
    const { codec, resolve } = this.#view
    if (resolve !== undefined) return this.read(key, o).then((entry) => entry.value)
    return attempt(() => {
      const [checked, json] = [checkKey(key), options.readOptions(o)]
      return run((id) => native.bucketGet(this.#native, id, checked, json), signalOf(o), codec)
    })
  }

  read(key, o) {
    return attempt(() => {
      const [checked, json] = [checkKey(key), options.readOptions(o)]
      const entry = (raw) => new Entry(raw, checked, this.#view)
      return run((id) => native.bucketRead(this.#native, id, checked, json), signalOf(o), undefined, entry)
    })
  }

  put(key, value, o) {
    return attempt(() => this.#put(checkKey(key), this.#view.codec.encode(value), o, options.contextOf(o)))
  }

  #put(key, encoded, o, context) {
    const json = options.writeOptions(o)
    return run((id) => native.bucketPut(this.#native, id, key, encoded, json, context), signalOf(o))
  }

  delete(key, o) {
    return attempt(() => this.#delete(checkKey(key), o, options.contextOf(o)))
  }

  #delete(key, o, context) {
    const json = options.writeOptions(o)
    return run((id) => native.bucketDelete(this.#native, id, key, json, context), signalOf(o))
  }

  async update(key, fn, o) {
    if (typeof fn !== 'function') throw invalid(`update takes a function of the siblings, not ${show(fn)}`)
    if (o?.context !== undefined) throw invalid('update takes no context: it puts with that of what it reads')
    const [checked, json, signal] = [checkKey(key), options.writeOptions(o), signalOf(o)]
    const entry = (raw) => new Entry(raw, checked, this.#view)
    const before = await run((id) => native.bucketReadForUpdate(this.#native, id, checked, json), signal, undefined, entry)
    const value = await fn(before.siblings)
    const context = options.contextOf(before)
    if (value === undefined) {
      await this.#delete(checked, o, context)
      return undefined
    }
    const encoded = this.#view.codec.encode(value)
    await this.#put(checked, encoded, o, context)
    return this.#view.codec.stored(value)
  }

  async getMany(keys, o) {
    const given = [...iterable('getMany takes an iterable of keys', keys)]
    const checked = given.map(checkKey)
    const [json, signal] = [options.readOptions(o), signalOf(o)]
    if (this.#view.resolve !== undefined) return this.#readMany(given, checked, json, signal)
    const results = await run((id) => native.bucketGetMany(this.#native, id, checked, json), signal, this.#view.codec)
    return together('getMany', given, results)
  }

  /** A resolve function needs the siblings, which only `read` gives. */
  async #readMany(given, checked, json, signal) {
    const results = await run((id) => native.bucketReadMany(this.#native, id, checked, json), signal)
    const value = ({ value, error }, index) =>
      error === undefined ? { value: new Entry(value, checked[index], this.#view).value } : { error }
    return together('getMany', given, results.map(value))
  }

  async putMany(items, o) {
    if (o?.context !== undefined) throw invalid('putMany takes no context: one belongs to one key')
    const given = [...iterable('putMany takes an iterable of [key, value]', items)].map(checkItem)
    const keys = given.map(([key]) => checkKey(key))
    const values = given.map(([, value]) => this.#view.codec.encode(value))
    const [json, signal] = [options.writeOptions(o), signalOf(o)]
    const results = await run((id) => native.bucketPutMany(this.#native, id, keys, values, json), signal)
    together('putMany', given.map(([key]) => key), results)
  }

  scan(o) {
    const { json, prefix, start, end } = options.scanOptions(o)
    return new Scan(native.bucketScan(this.#native, json, prefix, start, end), this.#view, signalOf(o))
  }

  count(o) {
    return attempt(() => {
      const { json, prefix, start, end } = options.scanOptions(o)
      return run((id) => native.bucketCount(this.#native, id, json, prefix, start, end), signalOf(o))
    })
  }

  clear(o) {
    return attempt(() => {
      const { json, prefix, start, end } = options.scanOptions(o)
      return run((id) => native.bucketClear(this.#native, id, json, prefix, start, end), signalOf(o))
    })
  }

  explain(key, o = {}) {
    return attempt(() => {
      const checked = checkKey(key)
      options.checkNames(o, ['signal'])
      return run((id) => native.bucketExplain(this.#native, id, checked), signalOf(o), undefined, explanation)
    })
  }
}

function checkKey(key) {
  return checkBytes('the key', key)
}

function checkItem(item) {
  if (Array.isArray(item) && item.length === 2) return item
  throw invalid(`putMany takes [key, value] pairs, not ${show(item)}`)
}

function iterable(message, value) {
  if (typeof value === 'object' && value !== null && typeof value[Symbol.iterator] === 'function') return value
  throw invalid(`${message}, not ${show(value)}`)
}

/** The values of a batch, or one error that has those of its items by key. */
function together(operation, keys, results) {
  const errors = new Map()
  results.forEach(({ error }, index) => error !== undefined && errors.set(keys[index], error))
  const values = results.map(({ value }) => value)
  if (errors.size === 0) return values
  const [[key, first]] = errors
  const message = `${operation}: ${errors.size} of ${keys.length} items failed; ${show(key)}: ${first.message}`
  const all = [...errors.values()]
  throw new PartialFailureError(message, {
    operation,
    errors,
    values,
    retryable: all.every((error) => error.retryable),
    maybe_applied: operation === 'putMany' && (all.length < keys.length || all.some((error) => error.maybeApplied)),
    cause: first
  })
}

/** What a call's arguments lack rejects its promise. */
function attempt(f) {
  try {
    return f()
  } catch (error) {
    return Promise.reject(error)
  }
}

module.exports = { Bucket, INTERNAL }
