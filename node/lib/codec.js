'use strict'
// What a bucket handle takes and gives for a value: bytes, text, or JSON.
// `encode` gives what the compiled part stores, a string or bytes; `decode` reads a part of a reply; `stored` is what a
// `get` would give of a value that was put.

const { inspect } = require('node:util')
const { isUtf8 } = require('node:buffer')
const { copy } = require('./memory.js')
const { invalid } = require('./errors.js')

/** A short picture of a value for an error message. */
function show(value) {
  return inspect(value, { depth: 0, maxStringLength: 40, maxArrayLength: 4, breakLength: Infinity })
}

/** A string or bytes, as keys and plain values are. */
function checkBytes(what, value) {
  if (typeof value === 'string') return checkText(what, value)
  if (value instanceof Uint8Array) return value
  throw invalid(`${what} must be a string or a Uint8Array, not ${show(value)}`)
}

function checkText(what, value) {
  if (value.isWellFormed()) return value
  throw invalid(`${what} has half of a surrogate pair and no UTF-8 form`)
}

function text(buffer, start, end) {
  const value = buffer.utf8Slice(start, end)
  // Decoding puts U+FFFD where bytes are not UTF-8; it may also have been stored as such.
  if (value.includes('\ufffd') && !isUtf8(buffer.subarray(start, end))) {
    throw invalid('the value is not UTF-8: read it through a bucket handle without codec')
  }
  return value
}

const bytes = {
  encode: (value) => checkBytes('the value', value),
  decode: copy,
  stored: (value) => (Buffer.isBuffer(value) ? value : Buffer.from(value))
}

const utf8 = {
  encode(value) {
    if (typeof value !== 'string') throw invalid(`a utf8 bucket takes strings, not ${show(value)}`)
    return checkText('the value', value)
  },
  decode: text,
  stored: (value) => value
}

const json = {
  encode(value) {
    let encoded
    try {
      encoded = JSON.stringify(value)
    } catch (cause) {
      throw invalid(`a json bucket cannot take ${show(value)}: ${cause.message}`, cause)
    }
    if (encoded === undefined) throw invalid(`a json bucket cannot take ${show(value)}: JSON has no form for it`)
    return encoded
  },
  decode(buffer, start, end) {
    try {
      return JSON.parse(text(buffer, start, end))
    } catch (cause) {
      throw invalid(`the value is not JSON: read it through a bucket handle without codec`, cause)
    }
  },
  stored: (value) => value
}

const codecs = { bytes, utf8, json }

/** The codec of a name; none gives bytes. */
function codecNamed(name = 'bytes') {
  if (Object.hasOwn(codecs, name)) return codecs[name]
  throw invalid(`codec=${show(name)} is not one of bytes, utf8, json`)
}

module.exports = { codecNamed, bytes, checkBytes, show }
