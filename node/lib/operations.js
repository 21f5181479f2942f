'use strict'
// The event loop's side of operations: one completion queue for each JavaScript thread.
// An operation that finishes locally gives its reply at once and its promise is already resolved; the others settle when
// the queue's one callback, run once for each batch of completions, drains them. While an operation is under way, or
// something holds it (a listening node), the process stays alive; otherwise Ringkeep does not keep it.

// Imported, so that a test's fake timers do not end the process early.
const { setInterval } = require('node:timers')
const { scratch } = require('./memory.js')
const { load } = require('./native.js')
const { decode } = require('./reply.js')
const { bytes, show } = require('./codec.js')
const { CanceledError, RingkeepError, failure, invalid } = require('./errors.js')

const native = load()

/** Completions that one call of the compiled part hands over: many share its cost, and replies of 8 MiB still fit in memory. */
const BATCH = 64
/** The longest delay that a timer takes. */
const FOREVER = 2 ** 31 - 1

const loop = new native.EventLoop(scratch, drain)
const pending = new Map()
let lastId = 0
let holds = 0
let keeper

/** Keeps the process alive until `release`. */
function hold() {
  if (holds++ > 0) return
  keeper ??= setInterval(() => {}, FOREVER)
  keeper.ref()
}

function release() {
  if (--holds === 0) keeper.unref()
}

/** A number for the next operation, never one that is still under way. */
function nextId() {
  do lastId = (lastId + 1) >>> 0
  while (pending.has(lastId))
  return lastId
}

/** What the compiled part gives: above zero a reply in the scratch buffer, zero pending, below zero a reply of its own. */
function replyOf(length, codec) {
  if (length > 0) return decode(scratch, 0, length, codec)
  return decode(loop.takeLarge(), 0, -length, codec)
}

/**
 * Starts an operation and gives its promise. `start(id)` calls the compiled part; `finish` makes the result of the
 * decoded reply.
 */
function run(start, signal, codec = bytes, finish = same) {
  try {
    if (signal !== undefined && signal.aborted) throw canceled(signal)
    const id = nextId()
    const length = start(id)
    if (length === 0) return later(id, signal, codec, finish)
    return Promise.resolve(finish(replyOf(length, codec), id))
  } catch (error) {
    return Promise.reject(ours(error))
  }
}

/** As `run`, for what never waits. */
function now(start, codec = bytes) {
  try {
    return replyOf(start(), codec)
  } catch (error) {
    throw ours(error)
  }
}

function same(value) {
  return value
}

function later(id, signal, codec, finish) {
  return new Promise((resolve, reject) => {
    const operation = { resolve, reject, signal, codec, finish, abort: undefined }
    if (signal !== undefined) {
      operation.abort = () => loop.cancel(id)
      signal.addEventListener('abort', operation.abort, { once: true })
    }
    pending.set(id, operation)
    hold()
  })
}

/** The queue's callback. */
function drain() {
  for (;;) {
    const length = loop.drain(BATCH)
    if (length === 0) return
    if (length > 0) settleAll(scratch, length)
    else settleAll(loop.takeLarge(), -length)
  }
}

/** Settles a batch: for each completion its operation's number, the length of the reply, and the reply. */
function settleAll(buffer, length) {
  for (let at = 0; at < length; ) {
    const id = buffer.readUInt32LE(at)
    const start = at + 8
    at = start + buffer.readUInt32LE(at + 4)
    settle(id, buffer, start, at)
  }
}

function settle(id, buffer, start, end) {
  const operation = pending.get(id)
  if (operation === undefined) return
  pending.delete(id)
  release()
  const { resolve, reject, signal, codec, finish, abort } = operation
  if (abort !== undefined) signal.removeEventListener('abort', abort)
  try {
    resolve(finish(decode(buffer, start, end, codec), id))
  } catch (error) {
    const wanted = error instanceof CanceledError && signal !== undefined && signal.aborted
    reject(wanted ? canceled(signal, error) : ours(error))
  }
}

/** The error of an operation that its signal ended. */
function canceled(signal, error) {
  return new CanceledError(error?.message ?? 'the signal was aborted before the operation began', {
    operation: error?.operation,
    maybe_applied: error?.maybeApplied,
    cause: signal.reason
  })
}

/** Whatever a bug throws, as an error of ours. */
function ours(error) {
  if (error instanceof RingkeepError) return error
  return failure({ code: 'INTERNAL', message: error?.message ?? String(error), cause: error })
}

/** The signal among a call's options. */
function signalOf(options) {
  const signal = options?.signal
  if (signal === undefined) return undefined
  if (signal instanceof AbortSignal) return signal
  throw invalid(`signal must be an AbortSignal, not ${show(signal)}`)
}

module.exports = { native, loop, run, now, hold, release, signalOf, ours }
