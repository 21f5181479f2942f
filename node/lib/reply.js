'use strict'
// Replies of the compiled part: bytes, little-endian, laid out as bindings/node/src/reply.rs says.
// A reply is decoded at once and holds nothing of the buffer that it came in.

const { failure } = require('./errors.js')
const { Context } = require('./context.js')
const { copy } = require('./memory.js')

const Tag = { FAILURE: 0, ABSENT: 1, VALUE: 2, RECEIPT: 3, ENTRY: 4, NOTHING: 5, NUMBER: 6, TEXT: 7, LIST: 8, ITEMS: 9 }
const CONFLICTED = -2

/** Reads the parts of a reply in order. */
class Reader {
  constructor(buffer, at) {
    this.buffer = buffer
    this.at = at
  }

  u32() {
    const value = this.buffer.readUInt32LE(this.at)
    this.at += 4
    return value
  }

  bytes() {
    const length = this.u32()
    const start = this.at
    this.at += length
    return copy(this.buffer, start, this.at)
  }

  text() {
    const length = this.u32()
    const start = this.at
    this.at += length
    return this.buffer.utf8Slice(start, this.at)
  }

  /** Siblings as bytes, their context, and which one the resolver shows. */
  entry() {
    const shown = this.buffer.readInt32LE(this.at)
    this.at += 4
    const context = new Context(this.bytes())
    const siblings = []
    const expires = []
    for (let left = this.u32(); left > 0; left--) {
      const unixMs = this.buffer.readDoubleLE(this.at)
      this.at += 8
      expires.push(unixMs < 0 ? undefined : new Date(unixMs))
      siblings.push(this.bytes())
    }
    return { shown, context, siblings, expires }
  }
}

function readFailure(buffer, start) {
  const reader = new Reader(buffer, start + 1)
  const fields = JSON.parse(reader.text())
  if (fields.code === 'CONFLICT') {
    fields.key = reader.bytes()
    const { siblings, context } = reader.entry()
    Object.assign(fields, { siblings, context })
  }
  return failure(fields)
}

/** Decodes an operation's reply; throws the error if it is one. `codec` turns the bytes of values into what the bucket holds. */
function decode(buffer, start, end, codec) {
  switch (buffer[start]) {
    case Tag.VALUE:
      return codec.decode(buffer, start + 1, end)
    case Tag.ABSENT:
    case Tag.NOTHING:
      return undefined
    case Tag.RECEIPT:
      return {
        owners: buffer.readUInt32LE(start + 1),
        fallbacks: buffer.readUInt32LE(start + 5),
        context: new Context(copy(buffer, start + 9, end))
      }
    case Tag.FAILURE:
      throw readFailure(buffer, start)
    default:
      return decodeRare(buffer, start, end, codec)
  }
}

function decodeRare(buffer, start, end, codec) {
  switch (buffer[start]) {
    case Tag.ENTRY:
      return new Reader(buffer, start + 1).entry()
    case Tag.NUMBER:
      return buffer.readDoubleLE(start + 1)
    case Tag.TEXT:
      return buffer.utf8Slice(start + 1, end)
    case Tag.LIST:
      return decodeList(buffer, start, codec)
    case Tag.ITEMS:
      return decodeItems(buffer, start)
    default:
      throw failure({ code: 'INTERNAL', message: `unknown reply ${buffer[start]}` })
  }
}

/** A list of results, each `{ value }` or `{ error }`. */
function decodeList(buffer, start, codec) {
  const results = []
  const reader = new Reader(buffer, start + 1)
  for (let left = reader.u32(); left > 0; left--) {
    const length = reader.u32()
    results.push(attempt(() => decode(buffer, reader.at, reader.at + length, codec)))
    reader.at += length
  }
  return results
}

function attempt(f) {
  try {
    return { value: f() }
  } catch (error) {
    return { error }
  }
}

/** A page of a scan: items as `{ key, entry }`, and whether it is the last. */
function decodeItems(buffer, start) {
  const last = buffer[start + 1] === 1
  const reader = new Reader(buffer, start + 2)
  const items = []
  for (let left = reader.u32(); left > 0; left--) items.push({ key: reader.bytes(), entry: reader.entry() })
  return { items, last }
}

module.exports = { decode, CONFLICTED }
