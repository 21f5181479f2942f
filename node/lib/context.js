'use strict'
// What a reader or writer has seen of a key: opaque, valid for one key of one bucket of one cluster.

const { inspect } = require('node:util')
const { invalid } = require('./errors.js')

class Context {
  #token

  /** Applications make one with `Context.from`. */
  constructor(token) {
    this.#token = token
  }

  /** The context of an earlier `toString`; whether it is genuine is judged when it is used. */
  static from(text) {
    if (typeof text !== 'string' || !/^[A-Za-z0-9_-]*$/.test(text) || text.length % 4 === 1) {
      throw invalid(`the context ${inspect(text)} is not the text of a context (base64url)`)
    }
    return new Context(Buffer.from(text, 'base64url'))
  }

  /** The bytes within, for the compiled part. */
  static token(context) {
    if (typeof context !== 'object' || context === null || !(#token in context)) {
      throw invalid(`context must be a Context (see Context.from), not ${inspect(context)}`)
    }
    return context.#token
  }

  toString() {
    return this.#token.toString('base64url')
  }

  toJSON() {
    return this.toString()
  }

  [inspect.custom]() {
    return `Context(${this.toString()})`
  }
}

module.exports = { Context }
