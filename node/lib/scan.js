'use strict'
// A scan: an async iterator over keys in byte order, a page ahead of its reader.
// A key in conflict is that item's error: `next` rejects once, and the following `next` goes on.

const { Entry } = require('./entry.js')
const { run } = require('./operations.js')

const DONE = Object.freeze({ value: undefined, done: true })

class Scan {
  #native
  #view
  #signal
  #items = []
  #at = 0
  #last = false
  #fetching

  constructor(native, view, signal) {
    this.#native = native
    this.#view = view
    this.#signal = signal
  }

  [Symbol.asyncIterator]() {
    return this
  }

  next() {
    // Calls that do not wait for the one before still get their items in order.
    if (this.#fetching !== undefined) return this.#fetching.then(this.#take, this.#take)
    return this.#take()
  }

  return(value) {
    this.#end()
    return Promise.resolve({ value, done: true })
  }

  throw(error) {
    this.#end()
    return Promise.reject(error)
  }

  #end() {
    this.#last = true
    this.#items = []
    this.#at = 0
    this.#native = undefined
  }

  #take = () => {
    if (this.#at < this.#items.length) return this.#give(this.#items[this.#at++])
    if (this.#last) return Promise.resolve(DONE)
    if (this.#fetching !== undefined) return this.next()
    const native = this.#native
    this.#fetching = run((id) => native.next(id), this.#signal).then(
      (page) => this.#took(page),
      (error) => {
        this.#fetching = undefined
        throw error
      }
    )
    return this.#fetching.then(this.#take)
  }

  #took({ items, last }) {
    this.#fetching = undefined
    if (this.#native === undefined) return
    this.#items = items
    this.#at = 0
    this.#last = last
  }

  #give({ key, entry }) {
    try {
      const value = new Entry(entry, key, this.#view).value
      return Promise.resolve({ value: [key, value], done: false })
    } catch (error) {
      return Promise.reject(error)
    }
  }
}

module.exports = { Scan }
