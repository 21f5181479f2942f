'use strict'
// What a read gives: every live sibling, and the context that covers them.

const { inspect } = require('node:util')
const { ConflictError } = require('./errors.js')
const { CONFLICTED } = require('./reply.js')

class Entry {
  #raw
  #key
  #view
  #siblings

  /** `raw` is the decoded reply; `view` is how the bucket handle reads values: its codec and, maybe, its resolve function. */
  constructor(raw, key, view) {
    this.#raw = raw
    this.#key = key
    this.#view = view
  }

  get siblings() {
    this.#siblings ??= Object.freeze(this.#raw.siblings.map((each) => this.#view.codec.decode(each, 0, each.length)))
    return this.#siblings
  }

  get context() {
    return this.#raw.context
  }

  get expires() {
    return this.#raw.expires
  }

  get conflicted() {
    return this.#raw.siblings.length > 1
  }

  /** The value that the handle's resolve function or the bucket's resolver picks. */
  get value() {
    const { shown, siblings, context } = this.#raw
    if (this.conflicted && this.#view.resolve !== undefined) return this.#view.resolve(this.siblings)
    if (shown === CONFLICTED) {
      const count = siblings.length
      const message = `the key has ${count} live siblings: read, merge and put with the context`
      const key = Buffer.from(this.#key)
      throw new ConflictError(message, { operation: 'read', key, siblings, context })
    }
    return shown < 0 ? undefined : this.siblings[shown]
  }

  [inspect.custom](_depth, o) {
    const { siblings, context, conflicted, expires } = this
    return `Entry ${inspect({ siblings, context, conflicted, expires }, o)}`
  }
}

module.exports = { Entry }
