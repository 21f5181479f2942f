'use strict'
// What is asked about a cluster rather than of it: where a key lives, and what happens.

const { ClosedError } = require('./errors.js')

/** How long one request for events waits for the first of them. */
const EVENTS_WAIT_MS = 10_000
const DONE = { value: undefined, done: true }

/** The answer of `explain` in the names of JavaScript. */
function explanation(json) {
  const { answered_by, replicas, ...rest } = JSON.parse(json)
  return { ...rest, answeredBy: answered_by, replicas: replicas.map(replica), reads: rest.reads.map(read) }
}

function replica({ hints_owed, error, record, ...rest }) {
  return { ...rest, error: error ?? undefined, record: record === null ? undefined : held(record), hintsOwed: hints_owed }
}

function held({ time_ms, age_ms, clock_entries, ...rest }) {
  return { ...rest, time: new Date(time_ms), age: age_ms, clockEntries: clock_entries }
}

function read({ reason, ...rest }) {
  return { ...rest, reason: reason ?? undefined }
}

function event({ time_ms, node, node_number, ...rest }) {
  return { ...rest, time: new Date(time_ms), node: node ?? undefined, nodeNumber: node_number ?? undefined }
}

/** Events from when it was made, waited for; done once the store is closed. */
class Events {
  #ask
  #read = []
  #place = {}
  #last
  #ended = new AbortController()

  /** `ask(json, signal)` asks for a page. */
  constructor(ask, signal) {
    const signals = [this.#ended.signal, signal].filter((each) => each !== undefined)
    this.#ask = (json) => ask(json, AbortSignal.any(signals))
    this.#last = this.#page()
    // Whoever takes the first step hears of it.
    this.#last.catch(() => {})
  }

  async #page() {
    const page = await this.#ask(JSON.stringify(this.#place))
    this.#place = { after: page.last, source: page.source, since_ms: page.time_ms, timeout_ms: EVENTS_WAIT_MS }
    this.#read.push(...page.events.map(event))
  }

  /** Steps that are asked for at once are taken one after the other. */
  next() {
    const step = this.#last.then(() => this.#step()).catch((error) => this.#end(error))
    this.#last = step.catch(() => {})
    return step
  }

  async #step() {
    while (!this.#ended.signal.aborted && this.#read.length === 0) await this.#page()
    return this.#ended.signal.aborted ? DONE : { value: this.#read.shift(), done: false }
  }

  #end(error) {
    if (error instanceof ClosedError) this.#ended.abort()
    if (this.#ended.signal.aborted) return DONE
    throw error
  }

  async return() {
    this.#ended.abort()
    return DONE
  }

  [Symbol.asyncIterator]() {
    return this
  }
}

module.exports = { Events, explanation }
